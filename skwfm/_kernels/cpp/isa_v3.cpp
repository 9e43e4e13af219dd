// x86-64-v3: AVX2 and FMA.
#include "types.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,popcnt,prfchw"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt,prfchw")
#endif

#define SKWFM_ISA v3
#define SKWFM_WIDTH 32
#include "kernels.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
