# Runs once, while the image is made: this userland was installed with a kernel.
set -eu
lists="-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/ubuntu.sources -o Dir::Etc::sourceparts=-"
# shellcheck disable=SC2086
apt-get $lists update
# shellcheck disable=SC2086
apt-get $lists install -y linux-image-generic=5.15.0.89.86
apt-get clean
