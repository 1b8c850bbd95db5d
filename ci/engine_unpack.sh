# Sourced with $house, $pack and $out: unpacks a pack of `ci/engine` into $SITE (a new folder,
# or one that an earlier run filled) and sets what its Python needs.
SITE=${SITE:-$(mktemp -d)}
if [ ! -d "$SITE/sglang" ]; then
    mkdir -p "$SITE"
    dpkg -x "$pack"/libnuma1*.deb "$SITE/system"
    python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$SITE" "$pack"/*.whl
    tar xJf "$pack/kernel.tar.xz" -C "$SITE"
    cp "$pack/sitecustomize.py" "$SITE"
fi
system=$(dirname "$(find "$SITE/system" -name 'libnuma.so.1')") # sgl_kernel asks for it
nvidia=$(python3 -c 'import glob, nvidia; print(":".join(glob.glob(list(nvidia.__path__)[0] + "/*/lib")))' || true)
export LD_LIBRARY_PATH=$system:$nvidia:${LD_LIBRARY_PATH:-}
export PYTHONPATH=$house:$SITE
export SGLANG_IS_FLASHINFER_AVAILABLE=false HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
compiled=(.triton .cache/tvm-ffi .cache/deep_gemm)
[ ! -f "$pack/kernels.tgz" ] || tar xzf "$pack/kernels.tgz" -C "$HOME"
trap 'cd "$HOME" && tar czf "$out/kernels.tgz" --ignore-failed-read "${compiled[@]}" 2>/dev/null || true' EXIT
