#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/all.h>

#include "cuda_metadata_kernel.cuh"

namespace {

bool is_integer(const at::Tensor& t) {
  return t.scalar_type() == at::kInt || t.scalar_type() == at::kLong;
}

void check_output(const at::Tensor& t, int64_t size, const char* name) {
  TORCH_CHECK(
      t.is_cuda() && t.scalar_type() == at::kInt && t.is_contiguous() && t.numel() >= size,
      name,
      " must be a contiguous int32 CUDA tensor of at least ",
      size,
      " elements");
}

void check_table(const at::Tensor& t, int64_t rows, int64_t cols, const char* name) {
  TORCH_CHECK(
      t.is_cuda() && t.scalar_type() == at::kInt && t.dim() == 2 && t.stride(1) == 1 && t.size(0) >= rows &&
          t.size(1) >= cols,
      name,
      " must be an int32 CUDA tensor of at least [",
      rows,
      ", ",
      cols,
      "] with contiguous rows");
}

}  // namespace

void precompute_decode_metadata_cuda(
    at::Tensor seq_lens,
    at::Tensor req_pool_indices,
    at::Tensor req_to_token,
    at::Tensor cache_seqlens,
    at::Tensor cu_seqlens_k,
    at::Tensor page_indices,
    at::Tensor nsa_cache_seqlens,
    at::Tensor nsa_cu_seqlens_k,
    c10::optional<at::Tensor> real_page_table,
    int64_t max_len,
    int64_t nsa_index_topk,
    int64_t real_page_size) {
  const int64_t bs = seq_lens.size(0);
  TORCH_CHECK(real_page_size > 0, "real_page_size must be positive");
  TORCH_CHECK(real_page_size == 1 || real_page_table.has_value(), "real_page_table is missing");
  for (const at::Tensor& t : {seq_lens, req_pool_indices}) {
    TORCH_CHECK(
        t.is_cuda() && is_integer(t) && t.is_contiguous() && t.dim() == 1 && t.size(0) == bs,
        "seq_lens and req_pool_indices must be contiguous int32 or int64 CUDA tensors of [bs]");
  }
  check_table(req_to_token, 1, max_len, "req_to_token");
  check_table(page_indices, bs, max_len, "page_indices");
  check_output(cache_seqlens, bs, "cache_seqlens");
  check_output(nsa_cache_seqlens, bs, "nsa_cache_seqlens");
  check_output(cu_seqlens_k, bs + 1, "cu_seqlens_k");
  check_output(nsa_cu_seqlens_k, bs + 1, "nsa_cu_seqlens_k");
  const at::Tensor real = real_page_size > 1 ? *real_page_table : page_indices;
  if (real_page_size > 1) {
    check_table(real, bs, (max_len + real_page_size - 1) / real_page_size, "real_page_table");
  }
  const at::cuda::OptionalCUDAGuard guard(seq_lens.device());
  const auto address = [](const at::Tensor& t) { return reinterpret_cast<int64_t>(t.data_ptr()); };
  const int64_t error = nsa_metadata::launch_decode_metadata(
      address(seq_lens),
      seq_lens.element_size(),
      address(req_pool_indices),
      req_pool_indices.element_size(),
      address(req_to_token),
      req_to_token.stride(0),
      address(cache_seqlens),
      address(cu_seqlens_k),
      address(nsa_cache_seqlens),
      address(nsa_cu_seqlens_k),
      address(page_indices),
      page_indices.stride(0),
      address(real),
      real.stride(0),
      bs,
      max_len,
      nsa_index_topk,
      real_page_size,
      /*leading_zero=*/true,
      reinterpret_cast<int64_t>(at::cuda::getCurrentCUDAStream().stream()));
  TORCH_CHECK(error == 0, "launch failed: ", cudaGetErrorString(static_cast<cudaError_t>(error)));
}
