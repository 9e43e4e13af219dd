// The baseline: SSE2 on x86-64, NEON on ARM, whatever the compiler does elsewhere.
#include "types.hpp"

#define SKWFM_ISA v2
#define SKWFM_WIDTH 16
#include "kernels.inc"
