// x86-64-v4: AVX-512.
#include "types.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,popcnt,prfchw,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt,prfchw,avx512f,avx512bw,avx512dq,avx512vl")
#endif

#define SKWFM_ISA v4
#define SKWFM_WIDTH 64
#include "kernels.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
