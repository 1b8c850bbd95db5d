# Sourced with $house, $pack and $out: unpacks a pack of `ci/engine` into $SITE (where nothing is
# named, a folder of its release that later runs find again) and sets what its Python needs.
if [ -z "${SITE:-}" ]; then
    SITE=$(basename "$pack"/sglang-*.whl)
    SITE=$HOME/.cache/nsa-opt/site/${SITE%%-cp*}
fi
if [ ! -d "$SITE" ]; then
    part=$SITE.$$
    mkdir -p "$part"
    dpkg -x "$pack"/libnuma1*.deb "$part/system"
    python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target "$part" "$pack"/*.whl
    tar xJf "$pack/kernel.tar.xz" -C "$part"
    cp "$pack/sitecustomize.py" "$part"
    # What a release compiles is made anew where a source is younger, so let none be; and
    # engines write no bytecode.
    find "$part" -type f -exec touch -d 2000-01-01 {} +
    python3 -m compileall -q -j 0 "$part" >"$part/compileall.txt" 2>&1 || true
    mv -T "$part" "$SITE"
fi
system=$(dirname "$(find "$SITE/system" -name 'libnuma.so.1')") # sgl_kernel asks for it
nvidia=$(python3 -c 'import glob, nvidia; print(":".join(glob.glob(list(nvidia.__path__)[0] + "/*/lib")))' || true)
export LD_LIBRARY_PATH=$system:$nvidia:${LD_LIBRARY_PATH:-}
export PYTHONPATH=$house:$SITE
export SGLANG_IS_FLASHINFER_AVAILABLE=false HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
compiled=(.triton .cache/tvm-ffi .cache/deep_gemm)
[ ! -f "$pack/kernels.tgz" ] || tar xf "$pack/kernels.tgz" --skip-old-files -C "$HOME"
trap 'cd "$HOME" && tar czf "$out/kernels.tgz" --ignore-failed-read "${compiled[@]}" 2>/dev/null || true' EXIT
