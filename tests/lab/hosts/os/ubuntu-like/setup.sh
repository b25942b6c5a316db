# Runs once, while the image is made: this userland was installed with a kernel, some weeks ago.
set -eu
lists="-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/ubuntu.sources -o Dir::Etc::sourceparts=-"
# shellcheck disable=SC2086
apt-get $lists update
# shellcheck disable=SC2086
apt-get $lists install -y linux-image-generic=5.15.0.106.106
apt-get clean
systemctl enable lab-archive.service
