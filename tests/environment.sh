# shellcheck shell=bash
# What tests/run and tests/compose share. Sourced by bash, at the top of the checkout.
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd) || exit 1
export CARGO_TARGET_DIR=$target
logs=$target/tests
venv=$logs/venv
mkdir -p "$logs"

# Debian starts services on installation; the tests use processes of their own only.
install_packages() {
    local root=() policy=/usr/sbin/policy-rc.d ours='' code=0
    if ! command -v apt-get >/dev/null; then
        echo "missing: $*. Install them with this system's package manager and run again."
        return 1
    fi
    if ((EUID != 0)); then
        command -v sudo >/dev/null || { echo "missing: $*. Install them as root: apt-get install $*"; return 1; }
        root=(sudo)
    fi
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null && "${root[@]}" chmod +x "$policy" && ours=1
    fi
    { "${root[@]}" apt-get update -q && "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends "$@"; } || code=$?
    [[ -n $ours ]] && "${root[@]}" rm -f "$policy"
    return "$code"
}

# The virtual environment is made anew whenever the requirements or the interpreter change.
python_packages() {
    local stamp
    stamp=$(cat tests/requirements.txt <(python3 --version) | sha256sum)
    if [[ $(cat "$venv/stamp" 2>/dev/null) != "$stamp" ]]; then
        rm -rf "$venv"
        python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt &&
            printf '%s\n' "$stamp" >"$venv/stamp"
    fi
}

# pytest with the tests' own configuration; what follows goes to it.
run_pytest() { "$venv/bin/python" -m pytest -c tests/pytest.ini --rootdir tests --basetemp "$logs/tmp" "$@"; }
