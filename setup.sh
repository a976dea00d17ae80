#!/bin/sh
# Gets a machine ready, then runs a task of deno.json:
#   ./setup.sh              only sets up
#   ./setup.sh demo         sets up, then `deno task demo`
#   ./setup.sh train -e 5   sets up, then `deno task train -e 5`
# Safe to run again: it installs only what is missing.
set -eu

pinned=2.9.6
needed_major=2 needed_minor=9

caller=$(pwd)
root=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# --- Deno ---------------------------------------------------------------------------------------

# A stripped environment (cron, CI) may lack HOME, and npm and Deno keep their caches below it.
if [ -z "${HOME:-}" ]; then
  HOME=$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f6)
  [ -n "$HOME" ] || fail "HOME is not set; set it to a folder that may be written"
  export HOME
fi

new_enough() { # $1: a deno executable
  version=$("$1" --version 2>/dev/null | sed -n '1s/^deno \([0-9]*\.[0-9]*\).*/\1/p') || return 1
  [ -n "$version" ] || return 1
  major=${version%.*} minor=${version#*.}
  [ "$major" -gt "$needed_major" ] ||
    { [ "$major" -eq "$needed_major" ] && [ "$minor" -ge "$needed_minor" ]; }
}

use_deno_in() { # $1: a folder; puts it on the PATH of this run if it holds a usable Deno
  [ -x "$1/deno" ] && new_enough "$1/deno" || return 1
  PATH=$1:$PATH
  export PATH
}

# Where an earlier run, or the user, may have put it without changing PATH.
find_deno() {
  { has deno && new_enough deno; } ||
    use_deno_in "$HOME/.local/bin" ||
    use_deno_in "$HOME/.deno/bin" ||
    { has npm && use_deno_in "$(npm prefix -g 2>/dev/null)/bin"; }
}

npm_install_to() { # $1: an npm prefix
  say "installing Deno $pinned with npm into $1"
  npm install --global --prefix "$1" --no-fund --no-audit --no-update-notifier --loglevel=error \
    "deno@$pinned" >&2 && use_deno_in "$1/bin"
}

install_with_npm() {
  has npm || return 1
  prefix=$(npm prefix -g) || return 1
  place=$prefix/lib/node_modules
  while [ ! -e "$place" ]; do place=$(dirname "$place"); done
  if [ -w "$place" ] && npm_install_to "$prefix"; then return 0; fi
  npm_install_to "$HOME/.local"
}

install_with_official_script() {
  say "installing Deno $pinned with the installer of deno.land into $HOME/.deno"
  # Downloaded whole before it runs: a broken connection must not run half a script.
  script=$(mktemp)
  if has curl; then
    curl -fsSL https://deno.land/install.sh -o "$script"
  elif has wget; then
    wget -qO "$script" https://deno.land/install.sh
  else
    say "neither npm, curl nor wget is there to get Deno with"
    false
  fi &&
    DENO_INSTALL=$HOME/.deno sh "$script" -y --no-modify-path "v$pinned" >&2 &&
    use_deno_in "$HOME/.deno/bin"
  status=$?
  rm -f "$script"
  return $status
}

if ! find_deno; then
  install_with_npm || install_with_official_script ||
    fail "Deno $needed_major.$needed_minor or newer could not be installed; install it by hand" \
      "(https://docs.deno.com/runtime/getting_started/installation/) and run this again"
fi
say "using $(deno --version | sed -n 1p) at $(command -v deno)"

# --- Vulkan -------------------------------------------------------------------------------------

exists() { [ -e "$1" ]; } # an unmatched pattern stays as it is, and names no file

any_of() {
  for path in "$@"; do
    if exists "$path"; then return 0; fi
  done
  return 1
}

has_vulkan_loader() {
  any_of /usr/lib/*/libvulkan.so.1 /usr/lib/libvulkan.so.1 /usr/lib64/libvulkan.so.1 \
    /lib/*/libvulkan.so.1 /usr/local/lib/libvulkan.so.1 /usr/local/lib/*/libvulkan.so.1 \
    /run/opengl-driver/lib/libvulkan.so.1 ||
    { PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; }
}

has_vulkan_driver() {
  [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] ||
    any_of /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json \
      /usr/local/share/vulkan/icd.d/*.json /usr/local/etc/vulkan/icd.d/*.json \
      "${XDG_DATA_HOME:-$HOME/.local/share}"/vulkan/icd.d/*.json \
      /run/opengl-driver/share/vulkan/icd.d/*.json
}

has_vulkan() { has_vulkan_loader && has_vulkan_driver; }

apt_install() { # $@: a command that gives root's rights, or nothing
  say "installing Mesa's software Vulkan driver with apt"
  # Lists that could not be refreshed may still be good enough.
  "$@" apt-get update -qq >&2 || true
  "$@" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    mesa-vulkan-drivers libvulkan1 >&2
}

# macOS and Windows bring their own graphics interface; only Linux can lack one.
if [ "$(uname -s)" = Linux ] && ! has_vulkan; then
  if has apt-get && [ "$(id -u)" = 0 ]; then
    apt_install || say "apt failed"
  elif has apt-get && has sudo && sudo -n true 2>/dev/null; then
    apt_install sudo -n || say "apt failed"
  fi
  if ! has_vulkan; then
    if has apt-get; then
      command="sudo apt-get install mesa-vulkan-drivers libvulkan1"
    elif has dnf; then
      command="sudo dnf install mesa-vulkan-drivers vulkan-loader"
    elif has pacman; then
      command="sudo pacman -S vulkan-swrast vulkan-icd-loader"
    elif has zypper; then
      command="sudo zypper install libvulkan_lvp libvulkan1"
    else
      command="(your system's packages for the Vulkan loader and Mesa's Vulkan drivers)"
    fi
    say "no Vulkan driver was found, and WebGPU needs one; install it with this command, then run" \
      "this again:"
    printf '  %s\n' "$command" >&2
    exit 1
  fi
fi

# --- The task -----------------------------------------------------------------------------------

# The Vulkan loader warns on every start when this is no folder. One folder a user, so that nothing
# piles up and nothing has to be removed at the end.
if [ ! -d "${XDG_RUNTIME_DIR:-}" ]; then
  XDG_RUNTIME_DIR=${TMPDIR:-/tmp}/webgpu-unet-$(id -u)
  if ! mkdir -m 700 "$XDG_RUNTIME_DIR" 2>/dev/null; then
    # Somebody else's folder of that name is not private.
    [ -O "$XDG_RUNTIME_DIR" ] && [ ! -L "$XDG_RUNTIME_DIR" ] || XDG_RUNTIME_DIR=$(mktemp -d)
  fi
  export XDG_RUNTIME_DIR
fi

if [ $# = 0 ]; then
  say "ready; try ./setup.sh demo"
  exit 0
fi

# Tasks run in the repository's folder, but paths in their arguments mean the caller's.
INIT_CWD=$caller
export INIT_CWD
cd "$root"
exec deno task "$@"
