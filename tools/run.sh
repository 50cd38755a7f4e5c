#!/usr/bin/env bash
# Set-up in one command on a fresh Debian or Ubuntu:
#   tools/run.sh build  [--no-install]                    the program, build/<preset>/pairedhead
#   tools/run.sh verify [--no-install] [OPTION...]        build it, then `pairedhead verify OPTION...`
#   tools/run.sh test   [--no-install] [CTEST OPTION...]  build everything and run the test suite
# As root it installs what is missing; otherwise, or with --no-install, it names it and exits 2.
# Built on 2 cores without CUDA: under four minutes; verify builds only what it runs.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  sed -n '2,5s/^# *//p' tools/run.sh >&2
  exit 2
}

command=${1:-}
case $command in build | verify | test) shift ;; *) usage ;; esac
install=yes
options=()
for option in "$@"; do
  if [ "$option" = --no-install ]; then install=no; else options+=("$option"); fi
done

packages=(cmake ninja-build g++ libeigen3-dev libhdf5-dev libgtest-dev libgmock-dev
  librapidcheck-dev libcli11-dev libfmt-dev nlohmann-json3-dev libpugixml-dev libxxhash-dev)
if [ "$command" = test ]; then packages+=(python3); fi

# A Python that can read and write what the exec: examples exchange with us.
python_with_h5py() {
  local python
  for python in "${PAIREDHEAD_PYTHON:-}" python3 /usr/bin/python3; do
    if [ -n "$python" ] && "$python" -c 'import numpy, h5py' 2> /dev/null; then return 0; fi
  done
  return 1
}

provided() {  # by Debian's package or, for a program, by anything on PATH
  case $1 in
    cmake | g++ | python3) command -v "$1" > /dev/null ;;
    ninja-build) command -v ninja > /dev/null ;;
    *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ] ;;
  esac
}

missing=()
for package in "${packages[@]}"; do
  provided "$package" || missing+=("$package")
done
if [ "$command" = test ] && ! python_with_h5py; then missing+=(python3-numpy python3-h5py); fi

# A browser opens the report page in its tests, which skip by name where there is none: Ubuntu's is
# no package that a container could install.
browser=()
if [ "$command" = test ] &&
  ! command -v chromium chromium-browser google-chrome > /dev/null; then browser=(chromium); fi

if [ "$install" = no ] || [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  if [ ${#missing[@]} -gt 0 ]; then
    echo "tools/run.sh: missing packages: ${missing[*]} (apt-get install them, or run this as root)" >&2
    exit 2
  fi
elif [ $((${#missing[@]} + ${#browser[@]})) -gt 0 ]; then
  echo "tools/run.sh: installing ${missing[*]} ${browser[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  installs() { apt-get install -y -qq --no-install-recommends "$@" > /dev/null; }
  if [ ${#missing[@]} -gt 0 ]; then installs "${missing[@]}"; fi
  if [ ${#browser[@]} -gt 0 ] && ! installs "${browser[@]}" 2> /dev/null; then
    echo "tools/run.sh: no chromium to install: the report page's tests will skip"
  fi
fi

# The GPU is used where there is one and a compiler for it; the tests need neither.
preset=release
target=emulated
if [ "$command" != test ] && nvidia-smi -L 2> /dev/null | grep -q GPU; then
  nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2> /dev/null || true)
  if [ -n "$nvcc" ]; then
    export CUDACXX=$nvcc
    preset=cuda
    target=gpu
  else
    echo "tools/run.sh: a GPU but no nvcc: building without the GPU target"
  fi
fi

launcher=()
if command -v ccache > /dev/null; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
fi
cmake --preset "$preset" "${launcher[@]}" --log-level=WARNING

case $command in
  build) cmake --build --preset "$preset" --target pairedhead ;;
  verify)
    cmake --build --preset "$preset" --target pairedhead
    exec "build/$preset/pairedhead" verify --target "$target" "${options[@]}"
    ;;
  test)
    cmake --build --preset "$preset"
    exec ctest --test-dir "build/$preset" --output-on-failure -j2 "${options[@]}"
    ;;
esac
