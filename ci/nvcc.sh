# Sourced: where a tree's `load_jit` finds nvcc and the CUDA runtime. Not every installation
# has that where compilers look.
nvcc=$(ls /usr/local/cuda*/bin/nvcc 2>/dev/null | head -n 1 || true)
export CUDA_HOME=${CUDA_HOME:-${nvcc%/bin/nvcc}}
cudart=$(dirname "$(find -L "$CUDA_HOME" /usr/local/cuda* -name libcudart.so 2>/dev/null | head -n 1)")
export LIBRARY_PATH=$cudart:${LIBRARY_PATH:-} LD_LIBRARY_PATH=$cudart:${LD_LIBRARY_PATH:-}
