# Sourced by the scripts in this folder: finding Pythons, making environments, the README's commands.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PROGRESS_BAR=off OMP_NUM_THREADS=1
unset PYTHONPATH PYTHONHASHSEED MXRNN_TEST_MODULE VIRTUAL_ENV
# Containers often set this. Each process would compile the package again, and Debian's Python all of
# its library.
unset PYTHONDONTWRITEBYTECODE
# Pip compiles all that it installs unless this is 0, of torch for half a minute; what is imported is
# compiled then.
export PIP_NO_COMPILE=0

MINORS='8 9 10 11 12 13 14 15'

# What this machine's apt takes Debian's packages from, and the key that they are signed with: a line
# of both with | between them.
apt_source() {
    apt-get indextargets --format '$(REPO_URI)|$(SIGNED_BY)' 'Created-By: Packages' \
        'Component: main' 2> /dev/null | grep -v -e security -e ubuntu | head -n 1 |
        sed 's/|[^/].*/|/'  # not a key, but its number
}

# What the script that sources this says of itself: the comment at its top.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" | sed '$d'; }

# An interpreter of release $1, if there is one that can make virtual environments; $debian/usr/bin
# has those that .ci/debian-python fetched.
python_of() {
    local candidate
    for candidate in $(ls -d ~/.pyenv/versions/"$1".*/bin/python 2> /dev/null | sort -rV) \
            "python$1" python3 python "${debian:-/nonexistent}/usr/bin/python$1"; do
        if "$candidate" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" \
                2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# Fills `pythons`, oldest first; fetches Debian's 3.14 and 3.15 into $1 where they are not installed.
find_pythons() {
    local minor found missing=()
    debian=$1 pythons=()
    for minor in 14 15; do
        [ -n "$(python_of "3.$minor")" ] || missing+=("3.$minor")
    done
    if [ ${#missing[@]} -gt 0 ] && ! .ci/debian-python "$debian" "${missing[@]}" > "$1.log" 2>&1; then
        rm -rf "$debian"
        echo "Python ${missing[*]} are not here: $(tail -n 1 "$1.log")"
    fi
    for minor in $MINORS; do
        found=$(python_of "3.$minor")
        [ -n "$found" ] && pythons+=("$found")
    done
    [ ${#pythons[@]} -gt 0 ] || { echo 'no Python from 3.8 to 3.15 was found'; exit 1; }
}

# A virtual environment of $1 at $2, with pip. Debian's Python may lack ensurepip or what it needs: a
# wheel of pip beside the interpreter serves, or another Python's pip.
make_environment() {
    local helper wheel
    "$1" -m venv "$2" > /dev/null 2>&1 && return
    "$1" -m venv --clear --without-pip "$2" || return
    for wheel in "$(dirname "$(command -v "$1")")"/../share/python-wheels/pip-*.whl; do
        "$2/bin/python" "$wheel/pip" install -q --no-index "$wheel" 2> /dev/null && return
    done
    for helper in "$1" "${pythons[@]}"; do
        "$helper" -m pip --python "$2/bin/python" install -q pip 2> /dev/null && return
    done
    echo "no pip for $1: it has no ensurepip (Debian: apt-get install python3-venv), no other Python pip"
    return 1
}

# The README's line that installs and then runs $1: 'python benchmarks/bucketing_lm.py' or
# 'python -m pytest'.
readme_line() {
    grep -E "^ *pip install .* && $1( |\$)" README.md | head -n 1 | sed 's/^ *//' | grep . ||
        { echo "README.md has no line 'pip install ... && $1'" >&2; return 1; }
}

# That line up to what it runs: the installation alone.
readme_install() {
    local line
    line=$(readme_line "$1") && echo "${line%% && "$1"*}"
}

# Runs the README's command $2 with the environment $1, into the log $3; nothing red may come from pip.
run_command() {
    PATH=$1/bin:$PATH bash -c "$2" > "$3" 2>&1 && ! grep -q '^ERROR' "$3"
}

# `pip check` may name graphviz and NumPy for MXNet, as the README says, and nothing else.
check_environment() {
    local log
    log=$("$1/bin/python" -m pip check 2>&1)
    echo "$log"
    ! grep -v -e '^No broken' -e '^mxnet.* requires graphviz' -e '^mxnet.* has requirement numpy<' \
        -e '^mxnet.* has requirement graphviz<' <<< "$log"
}

# The project as it stands, without what was built in it, as $1/project.
copy_project() {
    tar -cf - --exclude=./.git --exclude=./build --exclude='*.egg-info' . |
        tar -xf - -C "$1" --one-top-level=project
}

# What a clean clone has, as $1/project: the files that git knows, as they stand.
clone_project() {
    if git -c safe.directory='*' ls-files -z > "$1/files" 2> /dev/null && [ -s "$1/files" ]; then
        tar -cf - --null -T "$1/files" | tar -xf - -C "$1" --one-top-level=project
    else  # no git here, or no repository
        copy_project "$1"
    fi
}

# A minimal Debian of release $1 in the new folder $2, as new machines and slim containers are, with
# the project in /project; whatever follows are options of debootstrap.
minimal_system() {
    local root=$2 address key
    IFS='|' read -r address key < <(apt_source)
    [ -n "${address:-}" ] || { echo 'no Debian among the sources of apt'; return 1; }
    debootstrap --variant=minbase ${key:+--keyring="$key"} "${@:3}" "$1" "$root" "$address" || return
    cp /etc/resolv.conf "$root/etc/" 2> /dev/null
    cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
    # What lets this machine reach the registries: certificates, and pip's settings.
    mkdir -p "$root/etc/ssl/certs" "$root/etc/xdg"
    cp -L "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$root/certificates.crt"
    # With its terminals; as a slave, so that nothing mounted or unmounted there reaches this machine's.
    mount --rbind /dev "$root/dev" && mount --make-rslave "$root/dev" &&
        mount -t proc proc "$root/proc" || return
    copy_project "$root"
}

# Runs the commands on the standard input in the system $1, up to the first that fails.
in_system() {
    {
        cat << 'EOF'
set -e
export DEBIAN_FRONTEND=noninteractive OMP_NUM_THREADS=1 LC_ALL=C.UTF-8
export PIP_CERT=/certificates.crt SSL_CERT_FILE=/certificates.crt REQUESTS_CA_BUNDLE=/certificates.crt
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PROGRESS_BAR=off PIP_DEFAULT_TIMEOUT=180
cd /project
EOF
        cat
    } > "$1/commands.sh"
    env -i PATH="$PATH" HOME=/root ${QEMU_CPU:+QEMU_CPU="$QEMU_CPU"} chroot "$1" bash -o pipefail /commands.sh
}

# The newest Python that the system $1 can install.
newest_python() {
    chroot "$1" apt-cache search --names-only '^python3\.1[0-9]-venv$' |
        sed 's/-venv.*//' | sort -V | tail -n 1
}

# Takes away the folder $1, in which minimal systems are.
remove_systems() {
    local folder
    for folder in "$1"/*/dev; do  # a slave in any case, or this machine's /dev/pts would go, too
        mount --make-rslave "$folder" 2> /dev/null && umount -ql "$folder"
    done
    umount -ql "$1"/*/proc 2> /dev/null
    rm -rf --one-file-system "$1"
}

# Python, NumPy and MXNet of the interpreter that the command $@ starts.
versions() {
    "$@" - << 'EOF' 2>&1 | tail -n 1
import platform
from importlib.metadata import version
print('Python %s, NumPy %s, MXNet %s' % (platform.python_version(), version('numpy'), version('mxnet')))
EOF
}

# How pytest closed; after that MXNet may have complained of the end of the interpreter.
closing_line() {
    grep -E '^=+ .* in [0-9.]+s' "$1" | tail -n 1 | grep . || tail -n 1 "$1"
}

# The same, without the line around it.
closing() {
    closing_line "$1" | sed 's/^=* *//; s/ *=*$//'
}
