# Runs once, in a chroot, while the image is made. $uuid: of the root file system that this becomes.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# Two keys that the firmware of a machine with Secure Boot has enrolled (image.py): the one that whoever made the boards signed their
# modules with, which is gone after this, and one that an administrator may have dkms sign with.
mkdir -p /usr/share/lab
for name in boards mok; do
    openssl req -new -x509 -newkey rsa:2048 -noenc -days 36500 -subj "/CN=t9k.gpu lab $name" -outform DER \
        -addext "extendedKeyUsage=codeSigning" -keyout "/usr/share/lab/$name.key" -out "/usr/share/lab/$name.der" 2>/dev/null
done

# The boards' side of the bus for every kernel, the coming one too; the stand-in of nouveau where the kernel has a nouveau. Then the headers
# of the cloud kernel go: dkms cannot build for it, as on any machine whose second kernel came without headers.
next=$(cat /srv/kernels/next/release)
# Debian 13's headers depend on the kernel itself.
find /srv/kernels/next -name '*.deb' ! -name 'linux-image*' ! -name 'linux-headers-amd64*' -exec dpkg --install --force-depends {} +
sign=$(ls /usr/lib/linux-kbuild-*/scripts/sign-file | tail -n 1)
for headers in /usr/src/linux-headers-*amd64; do
    kernel=${headers#/usr/src/linux-headers-}
    there=/lib/modules/$kernel/updates/lab
    [ "$kernel" != "$next" ] || there=/usr/lib/lab/$next
    make -s -C "$headers" M=/usr/src/lab-hardware modules
    for module in lab_gpus nouveau; do
        case $module-$kernel in nouveau-*cloud*) continue ;; esac
        "$sign" sha256 /usr/share/lab/boards.key /usr/share/lab/boards.der "/usr/src/lab-hardware/$module.ko"
        install -Dm644 -t "$there" "/usr/src/lab-hardware/$module.ko"
    done
    make -s -C "$headers" M=/usr/src/lab-hardware clean
done
rm /usr/share/lab/boards.key

# What would be minutes of compiling where it is emulated: the compiler's answers about the driver's source are kept from here. dkms,
# make, modpost, the linker and the signing run in the machine all the same.
compiler=$(find /usr/bin -name 'gcc-[0-9]*' -printf '%f')
echo "compiler = $(readlink "/usr/bin/$compiler")" >>/etc/ccache.conf
ln -sf ccache "/usr/bin/$compiler"
if [ -d /srv/debian ]; then
    dpkg-deb --extract "$(find /srv/debian/pool -name 'nvidia-kernel-dkms_*.deb' | sort -V | tail -n 1)" /
    source=$(find /usr/src -maxdepth 1 -name 'nvidia-current-*')
    for headers in /usr/src/linux-headers-*-amd64; do
        case $headers in *cloud*) continue ;; esac
        dkms build -m nvidia-current -v "${source##*-}" -k "${headers#/usr/src/linux-headers-}"
    done
    dkms remove -m nvidia-current -v "${source##*-}" --all
    rm -r "$source" /var/lib/dkms/mok.*
fi

# Ubuntu's machine: its metapackage of the kernel in the place of Debian's, and pre-built modules for the kernel that it has.
if [ -d /srv/ubuntu ]; then
    now=$(find /boot -name 'vmlinuz-*' ! -name '*cloud*' -printf '%f' | cut -d - -f 2-)
    make -s -C /usr/src/lab-driver modules KERNEL_UNAME="$now" DRIVER_VERSION="$prebuilt"
    mkdir -p "/usr/lib/lab/prebuilt/$now/$prebuilt"
    cp /usr/src/lab-driver/*.ko "/usr/lib/lab/prebuilt/$now/$prebuilt/"
    rm -r /usr/src/lab-driver
    ln -s /usr/lib/gpu-stand-in/nvidia-modprobe /usr/bin/
    dpkg --purge linux-image-amd64
    lists="-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/ubuntu.sources -o Dir::Etc::sourceparts=-"
    # shellcheck disable=SC2086
    apt-get $lists update
    # shellcheck disable=SC2086
    apt-get $lists install --yes linux-image-generic=5.15.0.106.106
    rm -r /srv/kernels/now
fi

# shellcheck disable=SC2046
dpkg --purge $(dpkg-query --show --showformat '${Package}\n' "linux-headers-${next%-amd64}*")
apt-get purge --yes --quiet 'linux-headers*cloud*'
chmod 755 /etc/kernel/postinst.d/0-lab

# A small initramfs in which boards appear before the root is there, as real ones do.
chmod 755 /etc/initramfs-tools/hooks/lab /etc/initramfs-tools/scripts/init-premount/lab
rm -f /boot/initrd.img-*
for modules in /lib/modules/*; do
    depmod "${modules##*/}"
    update-initramfs -c -k "${modules##*/}"
done

# GRUB's own configuration, written by its own program; only what probes the disk must be told what it will be.
mkdir -p /boot/grub
cp -r /usr/lib/grub/x86_64-efi /boot/grub/
mv /usr/sbin/grub-probe /usr/sbin/grub-probe.real
cat >/usr/sbin/grub-probe <<PROBE
#!/bin/sh
case "\$*" in
    *target=device*) echo /dev/vda ;;
    *target=fs_uuid*) echo $uuid ;;
    *target=fs*) echo ext2 ;;
    *target=hints_string*) echo '--hint-efi=hd0' ;;
    *target=*hint*) echo hd0 ;;
    *target=drive*) echo '(hd0)' ;;
esac
PROBE
chmod 755 /usr/sbin/grub-probe
grub-mkconfig -o /boot/grub/grub.cfg
mv /usr/sbin/grub-probe.real /usr/sbin/grub-probe
grub-editenv /boot/grub/grubenv create

# The kernel that dkms can build for is what boots, until somebody says otherwise.
with_headers=$(basename "$(dirname "$(find /lib/modules/*/build -maxdepth 0 | head -n 1)")")
grub-editenv /boot/grub/grubenv set "saved_entry=gnulinux-advanced-$uuid>gnulinux-$with_headers-advanced-$uuid"

systemd-machine-id-setup
systemctl set-default multi-user.target
systemctl enable lab-host.service lab-network.service ssh.service
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer \
    e2scrub_reap.service grub-common.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
    systemd-update-utmp.service systemd-network-generator.service systemd-rfkill.socket \
    getty@tty1.service serial-getty@ttyS0.service modprobe@drm.service modprobe@loop.service modprobe@fuse.service \
    modprobe@dm_mod.service modprobe@efi_pstore.service sys-fs-fuse-connections.mount
# Debian's own lists take minutes to read where every instruction is emulated; all that the driver needs is in its archive or here.
rm -f /etc/apt/sources.list
[ ! -d /srv/kernels/now ] || echo 'deb [trusted=yes] file:/srv/kernels/now ./' >/etc/apt/sources.list.d/kernels.list
apt-get clean
apt-get update
