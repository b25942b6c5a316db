# Runs once, in a chroot that Debian's archive can be reached from, while the base is made. The machine has the last kernel but one,
# in two flavours, as if the newest one were of tomorrow: that one is in /srv/kernels/next, for `apt upgrade` to bring. Debian keeps
# the kernels of the past months under their own names and the metapackages of the newest one alone, so those of
# the older one are made here, with Debian's names, versions and relations (`apt-cache show linux-image-amd64`).
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

new=$(apt-cache show --no-all-versions linux-image-amd64 | sed -n 's/^Depends: linux-image-\([^ ]*\).*/\1/p')
series=$(echo "$new" | cut -d . -f 1,2)
old=$(apt-cache pkgnames "linux-image-$series." | sed -n 's/^linux-image-\([0-9][0-9.]*[-+][a-z0-9]*-amd64\)$/\1/p' |
    sort -V | grep -Fx -B 1 "$new" | grep -Fxv "$new") || { echo "the archive has no kernel of $series before $new" >&2; exit 1; }
cloud=${old%amd64}cloud-amd64
apt-get install --yes --quiet --no-install-recommends "linux-image-$old" "linux-image-$cloud" "linux-headers-$old" "linux-headers-$cloud"

mkdir -p /srv/kernels/now /srv/kernels/next
version=$(dpkg-query --show --showformat='${Version}' "linux-image-$old")
for kind in image headers; do
    mkdir -p /tmp/meta/DEBIAN
    cat >/tmp/meta/DEBIAN/control <<CONTROL
Package: linux-$kind-amd64
Source: linux
Version: $version
Architecture: amd64
Maintainer: t9k.gpu lab <lab@localhost>
Section: kernel
Depends: linux-$kind-$old (= $version)
Description: Linux for 64-bit PCs (metapackage of the lab)
CONTROL
    dpkg-deb --build --root-owner-group /tmp/meta "/srv/kernels/now/linux-$kind-amd64_${version}_amd64.deb"
    rm -r /tmp/meta
done
dpkg --install /srv/kernels/now/linux-image-amd64_*.deb

rm -f /var/cache/apt/archives/*.deb
apt-get install --yes --quiet --no-install-recommends --download-only linux-image-amd64 linux-headers-amd64
mv /var/cache/apt/archives/*.deb /srv/kernels/next/
ls "/srv/kernels/next/linux-image-$new"_*.deb "/srv/kernels/next/linux-headers-$new"_*.deb

for folder in now next; do
    cd "/srv/kernels/$folder"
    for deb in *.deb; do
        dpkg-deb --field "$deb"
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat --format %s "$deb")" "$(sha256sum "$deb" | cut -d ' ' -f 1)"
    done >Packages
done
echo "$new" >/srv/kernels/next/release
