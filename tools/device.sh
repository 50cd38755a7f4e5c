#!/usr/bin/env bash
# Builds for a GPU machine here, where there may be no GPU, and stages what travels there:
#   [STAGE=folder] tools/device.sh [--no-build]
#   stage/pairedhead, stage/pairedhead-mutants, stage/tests_gpu
#   stage/lib/   the shared libraries they need, found through $ORIGIN/lib
# Goldens and data travel in the tree, in place. The binaries start without a driver (nothing links
# libcuda), so stage/pairedhead verify --target emulated works anywhere; --target gpu needs a Hopper
# and its driver. On the machine, in the repository's root: stage/pairedhead verify --target gpu
set -euo pipefail
cd "$(dirname "$0")/.."

limit_mib=64
preset=cuda
build=build/$preset
stage=${STAGE:-stage}
programs=(pairedhead pairedhead-mutants tests/tests_gpu)

case ${1:-} in
  "") build_first=yes ;;
  --no-build) build_first=no ;;
  *)
    sed -n 3p "$0" | sed 's/^# *//' >&2
    exit 2
    ;;
esac

if [ "$build_first" = yes ]; then
  CUDACXX=${CUDACXX:-$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2> /dev/null || true)}
  if [ -z "$CUDACXX" ]; then
    echo "tools/device.sh: no nvcc on PATH or in /usr/local/cuda/bin" >&2
    exit 2
  fi
  export CUDACXX
  launcher=()
  if command -v ccache > /dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  fi
  # RPATH, not RUNPATH: it also finds the libraries that our libraries need.
  cmake --preset "$preset" "${launcher[@]}" --log-level=WARNING \
    -DCMAKE_BUILD_RPATH='$ORIGIN/lib;/usr/local/cuda/lib64' -DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags
  cmake --build "$build" --target pairedhead pairedhead-mutants tests_gpu
fi

rm -rf "$stage.new"
mkdir -p "$stage.new/lib"
for program in "${programs[@]}"; do
  install --strip "$build/$program" "$stage.new/"
done

# Everything but the C library, the driver and cuBLAS (half a gigabyte), which are the machine's own.
own='/(libcublas|libcublasLt|libc|libm|libdl|librt|libpthread|libresolv|libutil|ld-linux[^/]*|libcuda)\.so'
for program in "${programs[@]}"; do ldd "$build/$program"; done |
  awk '$3 ~ /^\// { print $3 } /not found/ { print "missing: " $1 > "/dev/stderr"; exit 1 }' |
  sort -u | { grep -vE "$own" || true; } | xargs -r -I{} install -m 644 {} "$stage.new/lib/"

for program in "$stage.new"/*; do
  [ -f "$program" ] || continue
  if readelf -d "$program" | grep -q 'NEEDED.*libcuda\.so'; then
    echo "tools/device.sh: $program needs libcuda, so it starts only where a driver is" >&2
    exit 1
  fi
  if ! readelf -d "$program" | grep -q 'RPATH.*\$ORIGIN/lib'; then
    echo "tools/device.sh: $program does not look for its libraries in \$ORIGIN/lib" >&2
    exit 1
  fi
done

tree=$(git ls-files -z --cached --others --exclude-standard |
  xargs -0 du -cb 2> /dev/null | awk '$2 == "total" { bytes += $1 } END { print bytes }')
staged=$(du -sb "$stage.new" | cut -f1)
mib=$(((tree + staged + 1048575) / 1048576))
if [ "$mib" -gt "$limit_mib" ]; then
  echo "tools/device.sh: tree and stage are $mib MiB, expected at most $limit_mib" >&2
  exit 1
fi
# Other files in stage/ are somebody's experiments: only ours are replaced.
mkdir -p "$stage"
rm -rf "$stage/lib"
mv -f "$stage.new"/* "$stage/"
rmdir "$stage.new"
echo "staged in $stage/: $((staged / 1048576)) MiB, with the source tree $mib of $limit_mib MiB"
