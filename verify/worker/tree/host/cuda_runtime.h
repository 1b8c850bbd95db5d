// CUDA's words for a C++ compiler: a kernel's index arithmetic and scans, on a CPU.
//
// Blocks run one after another, their threads as fibers. A warp runs until all its lanes
// wait for the block, then the next one; every other launch begins with the last warp. So a
// missing __syncthreads is seen. A barrier that not all reach is an error, not a wait.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) int4 {
  int32_t x, y, z, w;
};
using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9, cudaErrorLaunchFailure = 719 };
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host_cuda {

constexpr unsigned kWarp = 32, kMost = 1024, kStack = 64 * 1024;
enum class At { kGoing, kWarp, kBlock, kEnd };

struct Fiber {
  jmp_buf here;
  ucontext_t begin;
  std::unique_ptr<char[]> stack;
  At at = At::kEnd;
  unsigned shuffles = 0;
};

inline Fiber fibers[kMost];
inline unsigned current;
inline jmp_buf scheduler;
inline std::function<void()> kernel;
inline unsigned launches;
inline uint32_t slots[kMost / kWarp][2][kWarp];

inline void wait(At at) {
  Fiber& fiber = fibers[current];
  fiber.at = at;
  if (!_setjmp(fiber.here)) _longjmp(scheduler, 1);
}

inline void live() {
  for (;;) {
    kernel();
    wait(At::kEnd);
  }
}

inline void resume(unsigned number) {
  Fiber& fiber = fibers[number];
  current = number;
  threadIdx.x = number;
  if (_setjmp(scheduler)) return;
  if (fiber.stack) _longjmp(fiber.here, 1);
  fiber.stack = std::make_unique<char[]>(kStack);
  getcontext(&fiber.begin);
  fiber.begin.uc_stack.ss_sp = fiber.stack.get();
  fiber.begin.uc_stack.ss_size = kStack;
  makecontext(&fiber.begin, live, 0);
  setcontext(&fiber.begin);
}

// All threads from `begin` wait there, or none does.
inline bool all(unsigned begin, unsigned end, At at) {
  for (unsigned i = begin; i < end; ++i) {
    if (fibers[i].at != at) return false;
  }
  return true;
}

// Until the warp's lanes wait for the block or have ended; false where lanes are apart.
inline bool run_warp(unsigned begin) {
  const unsigned end = begin + kWarp;
  for (;;) {
    for (unsigned i = begin; i < end; ++i) {
      if (fibers[i].at == At::kGoing) resume(i);
    }
    if (!all(begin, end, At::kWarp)) return all(begin, end, At::kBlock) || all(begin, end, At::kEnd);
    for (unsigned i = begin; i < end; ++i) fibers[i].at = At::kGoing;
  }
}

inline bool run_block(unsigned threads, bool backwards) {
  do {
    for (unsigned i = 0; i < threads; ++i) fibers[i].at = At::kGoing;
    for (unsigned i = 0; i < threads; i += kWarp) {
      if (!run_warp(backwards ? threads - kWarp - i : i)) return false;
    }
  } while (all(0, threads, At::kBlock));
  return all(0, threads, At::kEnd);
}

template <typename T>
T from_lane(T value, unsigned lane) {
  static_assert(sizeof(T) == 4);
  Fiber& fiber = fibers[current];
  auto& slot = slots[current / kWarp][fiber.shuffles++ % 2];
  std::memcpy(&slot[current % kWarp], &value, 4);
  wait(At::kWarp);
  std::memcpy(&value, &slot[lane % kWarp], 4);
  return value;
}

}  // namespace host_cuda

inline void __syncthreads() { host_cuda::wait(host_cuda::At::kBlock); }

template <typename T>
T __shfl_up_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = host_cuda::current % host_cuda::kWarp;
  return host_cuda::from_lane(value, lane < delta ? lane : lane - delta);
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  return host_cuda::from_lane(value, host_cuda::current % host_cuda::kWarp ^ mask);
}

template <typename... Wanted, typename... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Wanted...), Given... given) {
  const dim3 grid = config->gridDim;
  const unsigned threads = config->blockDim.x;
  const bool fits = grid.x > 0 && grid.y > 0 && grid.y <= 65535 && grid.z == 1;
  if (!fits || threads == 0 || threads > host_cuda::kMost || threads % host_cuda::kWarp) {
    return cudaErrorInvalidConfiguration;
  }
  gridDim = grid;
  blockDim = config->blockDim;
  host_cuda::kernel = [=] { kernel(given...); };
  for (unsigned i = 0; i < threads; ++i) host_cuda::fibers[i].shuffles = 0;
  const bool backwards = host_cuda::launches++ % 2;
  for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
    for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
      if (!host_cuda::run_block(threads, backwards)) return cudaErrorLaunchFailure;
    }
  }
  return cudaSuccess;
}
