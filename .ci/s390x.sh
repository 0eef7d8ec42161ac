#!/usr/bin/env bash
# The tests on big-endian s390x, emulated by QEMU.
#
#   .ci/s390x.sh c                tests/c, cross compiled
#   .ci/s390x.sh python ARG...    the Python tests; ARG goes to pytest
#
# The Python tests run in a root directory of Debian's packages for s390x, build/s390x/root. Python
# is emulated there; the extension modules are cross compiled here, which is ten times faster.
# Needs apt, a Debian keyring and root, or sudo; SUITE and MIRROR choose another Debian.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || exec sudo SUITE="${SUITE-}" MIRROR="${MIRROR-}" "$PWD/.ci/s390x.sh" "$@"

readonly SUITE=${SUITE:-forky} # the first with ml_dtypes
readonly ROOT=$PWD/build/s390x/root
readonly VENV=$PWD/build/s390x/venv
readonly TRIPLET=s390x-linux-gnu
readonly PACKAGES=(
    base-files coreutils dash git libpython3-dev
    python3-cramjam python3-crc32c python3-h5py python3-hypothesis python3-ml-dtypes python3-numpy python3-pandas
    python3-pytest python3-rich python3-safetensors python3-zarr
)

install_packages() {
    local missing=()
    for package; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}

# Lets the kernel start programs for s390x, also those that a program in the root starts.
register_emulator() {
    local registry=/proc/sys/fs/binfmt_misc
    [ -e $registry/register ] || mount -t binfmt_misc binfmt_misc $registry
    [ -e $registry/qemu-s390x ] || cat /usr/lib/binfmt.d/qemu-s390x.conf >$registry/register
}

# Extracts the packages; none of their scripts runs, which would take a quarter of an hour.
make_root() {
    local made_of="$SUITE ${PACKAGES[*]}" packages
    [ "$(cat "$ROOT/made-of" 2>/dev/null)" = "$made_of" ] && return
    packages=$(IFS=, && echo "${PACKAGES[*]}")
    rm -rf "$ROOT"
    # a testing suite ends to be valid within days, on a mirror that is a snapshot for good
    mmdebstrap --quiet --mode=root --variant=extract --architectures=s390x \
        --aptopt='Acquire::Check-Valid-Until "false"' \
        --aptopt='APT::Install-Recommends "false"' \
        --include="$packages" "$SUITE" "$ROOT" ${MIRROR:-$(configured_mirror)}
    mkdir -p "$ROOT"/{dev,proc,tmp}
    echo /src >"$ROOT/usr/lib/python3/dist-packages/fastckpt.pth"
    mend_fstat
    echo "$made_of" >"$ROOT/made-of"
}

# Prints the mirror that apt has for Debian; nothing on other systems, for which mmdebstrap has one.
configured_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1
}

# QEMU (7.2 to 11.1) leaves the fractions of seconds out of what fstat says of a file, so that it
# seems to be another one than the one that stat finds.
mend_fstat() {
    $TRIPLET-gcc --sysroot="$ROOT" -O2 -shared -fPIC -x c - -o "$ROOT/usr/lib/fstat.so" <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int fstat(int fd, struct stat *status) {
  return (int)syscall(SYS_newfstatat, fd, "", status, AT_EMPTY_PATH);
}
int fstat64(int fd, struct stat64 *status) {
  return (int)syscall(SYS_newfstatat, fd, "", status, AT_EMPTY_PATH);
}
C
}

# Installs what builds the extension modules here, and a package of plain Python that is older in
# Debian than the one that fastckpt needs.
install_from_pip() {
    [ -e "$VENV/bin/python" ] || python3 -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet 'setuptools>=77' 'Cython>=3.1,<4' 'numpy>=2.0'
    "$VENV/bin/python" -m pip install --quiet --no-deps --upgrade \
        --target "$ROOT/usr/lib/python3/dist-packages" 'python-snappy>=0.7'
}

# Builds the extension modules with this machine's Cython for the Python in the root.
build_modules() {
    local version
    version=$(basename "$(echo "$ROOT"/usr/include/python3.*)")
    CC="$TRIPLET-gcc --sysroot=$ROOT" LDSHARED="$TRIPLET-gcc --sysroot=$ROOT -shared" \
        AR=$TRIPLET-ar SETUPTOOLS_EXT_SUFFIX=.cpython-${version//[^0-9]/}-$TRIPLET.so \
        "$VENV/bin/python" setup.py --quiet build_ext --include-dirs "$ROOT/usr/include/$version" \
        build --build-base build/s390x/objects --build-platlib build/s390x/modules
}

# Copies the checkout, without what git ignores, and the extension modules.
copy_sources() {
    rm -rf "$ROOT/src"
    mkdir "$ROOT/src"
    git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard |
        tar c --null --files-from=- --ignore-failed-read | tar x -C "$ROOT/src"
    (cd build/s390x/modules && find . -name '*.so' -print0 | tar c --null --files-from=-) |
        tar x -C "$ROOT/src"
}

# Runs a command in the copy, with file systems that nobody else sees. CI is for Hypothesis, which
# takes its time then.
in_root() {
    unshare --mount sh -euc '
        root=$1
        shift
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        libraries=/usr/lib/s390x-linux-gnu
        exec chroot "$root" /usr/bin/env -i --chdir=/src PATH=/usr/bin HOME=/tmp CI=1 LC_ALL=C.UTF-8 \
            LD_PRELOAD=/usr/lib/fstat.so LD_LIBRARY_PATH=$libraries/blas:$libraries/lapack "$@"
    ' sh "$ROOT" "$@"
}

part=${1-}
[ $# = 0 ] || shift
case $part in
    c)
        install_packages make qemu-user-static gcc-$TRIPLET libc6-dev-s390x-cross
        make -C tests/c check-s390x
        ;;
    python)
        install_packages git python3-venv qemu-user-static gcc-$TRIPLET mmdebstrap
        register_emulator
        make_root
        install_from_pip
        build_modules
        copy_sources
        in_root python3 -c 'import sys; print("CPython", sys.version, sys.byteorder, "endian")'
        in_root python3 -m pytest -p no:cacheprovider "$@"
        ;;
    *)
        echo "usage: .ci/s390x.sh c | python [ARG...]" >&2
        exit 2
        ;;
esac
