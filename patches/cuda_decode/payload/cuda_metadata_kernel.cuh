// The NSA metadata of a decode batch in one launch: lengths, cumulative sums, page tables.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

namespace nsa_metadata {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr unsigned kAll = 0xffffffffu;
// Up to here every warp looks at all lengths by itself; above, a block shares the work.
constexpr int kWarpBatch = 128;
// Entries of the page table up to which one block does everything.
constexpr int64_t kOneBlock = 2048;
// Columns of a block's pass, and how many blocks share the rows. Measured on an H200.
constexpr int kTile = kThreads * 8;
constexpr int kBlocks = 1056;

struct Decode {
  const void* seq_lens;          // [bs] int32 or int64
  const void* req_pool_indices;  // [bs] int32 or int64
  const int32_t* req_to_token;   // [requests, >= max_cols]
  int32_t* cache_seqlens;        // [bs]
  int32_t* cu_seqlens_k;         // [bs + 1]
  int32_t* nsa_cache_seqlens;    // [bs], clipped to topk
  int32_t* nsa_cu_seqlens_k;     // [bs + 1]
  int32_t* page_table;           // [bs, >= max_cols]
  int32_t* real_page_table;      // [bs, >= ceil(max_cols / page_size)]
  int64_t req_to_token_stride;
  int64_t page_table_stride;
  int64_t real_page_table_stride;
  int32_t bs;
  int32_t max_cols;
  int32_t topk;
  int32_t page_size;
  bool leading_zero;  // whether the sums' first element is written
  bool aligned;       // whether rows of both page tables begin on 16 bytes
};

// The sum of this lane's value and of those below it.
__device__ __forceinline__ uint32_t warp_sum_to(uint32_t value) {
  const int lane = threadIdx.x % kWarp;
  for (int step = 1; step < kWarp; step *= 2) {
    const uint32_t below = __shfl_up_sync(kAll, value, step);
    if (lane >= step) value += below;
  }
  return value;
}

__device__ __forceinline__ int32_t warp_max(int32_t value) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const int32_t other = __shfl_xor_sync(kAll, value, step);
    value = other > value ? other : value;
  }
  return value;
}

// // of C++ truncates, PyTorch's floors.
__device__ __forceinline__ int32_t floor_div(int32_t value, int32_t by) {
  return value / by - (value % by < 0 ? 1 : 0);
}

// One block: the lengths and their sums, kThreads requests at a time.
template <typename Len>
__device__ void write_lengths(const Decode& d) {
  __shared__ uint32_t k_of_warp[kWarps];
  __shared__ uint32_t nsa_of_warp[kWarps];
  const Len* seq_lens = static_cast<const Len*>(d.seq_lens);
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp;
  uint32_t k_sum = 0;
  uint32_t nsa_sum = 0;
  if (d.leading_zero && threadIdx.x == 0) {
    d.cu_seqlens_k[0] = 0;
    d.nsa_cu_seqlens_k[0] = 0;
  }
  for (int start = 0; start < d.bs; start += kThreads) {
    const int i = start + threadIdx.x;
    const bool is_request = i < d.bs;
    const int32_t len = is_request ? static_cast<int32_t>(seq_lens[i]) : 0;
    const int32_t nsa_len = len < d.topk ? len : d.topk;
    const uint32_t k_end = warp_sum_to(len);
    const uint32_t nsa_end = warp_sum_to(is_request ? nsa_len : 0);
    if (lane == kWarp - 1) {
      k_of_warp[warp] = k_end;
      nsa_of_warp[warp] = nsa_end;
    }
    __syncthreads();
    uint32_t k_before = k_sum;
    uint32_t nsa_before = nsa_sum;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) {
        k_before += k_of_warp[w];
        nsa_before += nsa_of_warp[w];
      }
      k_sum += k_of_warp[w];
      nsa_sum += nsa_of_warp[w];
    }
    if (is_request) {
      d.cache_seqlens[i] = len;
      d.nsa_cache_seqlens[i] = nsa_len;
      d.cu_seqlens_k[1 + i] = static_cast<int32_t>(k_before + k_end);
      d.nsa_cu_seqlens_k[1 + i] = static_cast<int32_t>(nsa_before + nsa_end);
    }
    __syncthreads();  // The next requests' totals go to the same place.
  }
}

// How many columns every row gets: the longest length of the batch.
template <typename Len>
__device__ int32_t columns(const Decode& d) {
  __shared__ int32_t of_warp[kWarps];
  const Len* seq_lens = static_cast<const Len*>(d.seq_lens);
  const int lane = threadIdx.x % kWarp;
  const bool together = d.bs > kWarpBatch;
  int32_t longest = 0;
  for (int i = together ? threadIdx.x : lane; i < d.bs; i += together ? kThreads : kWarp) {
    const int32_t len = static_cast<int32_t>(seq_lens[i]);
    longest = len > longest ? len : longest;
  }
  longest = warp_max(longest);
  if (together) {
    if (lane == 0) of_warp[threadIdx.x / kWarp] = longest;
    __syncthreads();
    longest = warp_max(lane < kWarps ? of_warp[lane] : 0);
  }
  return longest < d.max_cols ? longest : d.max_cols;
}

// The blocks of a row: its page table, and every page_size-th entry as a page's number.
template <typename Req>
__device__ void write_row(const Decode& d, int row, int32_t end) {
  const int64_t req = static_cast<const Req*>(d.req_pool_indices)[row];
  const int32_t* source = d.req_to_token + req * d.req_to_token_stride;
  int32_t* pages = d.page_table + row * d.page_table_stride;
  const int step = gridDim.x * kThreads;
  const int first = blockIdx.x * kThreads + threadIdx.x;
  const int32_t wide = d.aligned ? end / 4 : 0;
  const int4* wide_source = reinterpret_cast<const int4*>(source);
  int4* wide_pages = reinterpret_cast<int4*>(pages);
  for (int i = first; i < wide; i += 2 * step) {
    // Two loads on their way before the first is stored.
    const int j = i + step;
    const int4 one = wide_source[i];
    if (j < wide) wide_pages[j] = wide_source[j];
    wide_pages[i] = one;
  }
  for (int i = 4 * wide + first; i < end; i += step) pages[i] = source[i];
  if (d.page_size > 1) {
    int32_t* real_pages = d.real_page_table + row * d.real_page_table_stride;
    const int32_t real_end = (end + d.page_size - 1) / d.page_size;
    for (int i = first; i < real_end; i += step) {
      real_pages[i] = floor_div(source[static_cast<int64_t>(i) * d.page_size], d.page_size);
    }
  }
}

// Row 0 of the grid writes lengths, row 1 + r request r. A single block does it all.
template <typename Len, typename Req>
__global__ void __launch_bounds__(kThreads) decode_metadata_kernel(const Decode d) {
  const bool alone = gridDim.y == 1;
  if (blockIdx.y == 0) {
    if (blockIdx.x == 0) write_lengths<Len>(d);
    if (!alone) return;
  }
  const int32_t end = columns<Len>(d);
  const int rows = alone ? 1 : gridDim.y - 1;
  for (int row = alone ? 0 : blockIdx.y - 1; row < d.bs; row += rows) {
    write_row<Req>(d, row, end);
  }
}

template <typename Len, typename Req>
cudaError_t launch(const Decode& d, cudaStream_t stream) {
  const int64_t tiles = (static_cast<int64_t>(d.max_cols) + kTile - 1) / kTile;
  const int64_t share = d.bs < kBlocks ? kBlocks / d.bs : 1;
  cudaLaunchConfig_t config = {};
  config.blockDim = dim3(kThreads);
  config.gridDim = dim3(1);
  if (static_cast<int64_t>(d.bs) * d.max_cols > kOneBlock) {
    // A grid has at most 65,535 rows.
    config.gridDim = dim3(tiles < share ? tiles : share, 1 + (d.bs < 65534 ? d.bs : 65534));
  }
  config.stream = stream;
  return cudaLaunchKernelEx(&config, decode_metadata_kernel<Len, Req>, d);
}

// Addresses, sizes and strides in elements; returns a cudaError_t. Types go by their size.
inline int64_t launch_decode_metadata(
    int64_t seq_lens,
    int64_t seq_len_bytes,
    int64_t req_pool_indices,
    int64_t req_index_bytes,
    int64_t req_to_token,
    int64_t req_to_token_stride,
    int64_t cache_seqlens,
    int64_t cu_seqlens_k,
    int64_t nsa_cache_seqlens,
    int64_t nsa_cu_seqlens_k,
    int64_t page_table,
    int64_t page_table_stride,
    int64_t real_page_table,
    int64_t real_page_table_stride,
    int64_t bs,
    int64_t max_cols,
    int64_t topk,
    int64_t page_size,
    bool leading_zero,
    int64_t stream) {
  if (bs <= 0) return cudaSuccess;
  Decode d;
  d.seq_lens = reinterpret_cast<const void*>(seq_lens);
  d.req_pool_indices = reinterpret_cast<const void*>(req_pool_indices);
  d.req_to_token = reinterpret_cast<const int32_t*>(req_to_token);
  d.cache_seqlens = reinterpret_cast<int32_t*>(cache_seqlens);
  d.cu_seqlens_k = reinterpret_cast<int32_t*>(cu_seqlens_k);
  d.nsa_cache_seqlens = reinterpret_cast<int32_t*>(nsa_cache_seqlens);
  d.nsa_cu_seqlens_k = reinterpret_cast<int32_t*>(nsa_cu_seqlens_k);
  d.page_table = reinterpret_cast<int32_t*>(page_table);
  d.real_page_table = reinterpret_cast<int32_t*>(real_page_table);
  d.req_to_token_stride = req_to_token_stride;
  d.page_table_stride = page_table_stride;
  d.real_page_table_stride = real_page_table_stride;
  d.bs = static_cast<int32_t>(bs);
  d.max_cols = static_cast<int32_t>(max_cols);
  d.topk = static_cast<int32_t>(topk);
  d.page_size = static_cast<int32_t>(page_size);
  d.leading_zero = leading_zero;
  d.aligned = (req_to_token | page_table | 4 * req_to_token_stride | 4 * page_table_stride) % 16 == 0;
  const cudaStream_t on = reinterpret_cast<cudaStream_t>(stream);
  if (seq_len_bytes == 4) {
    return req_index_bytes == 4 ? launch<int32_t, int32_t>(d, on) : launch<int32_t, int64_t>(d, on);
  }
  return req_index_bytes == 4 ? launch<int64_t, int32_t>(d, on) : launch<int64_t, int64_t>(d, on);
}

}  // namespace nsa_metadata
