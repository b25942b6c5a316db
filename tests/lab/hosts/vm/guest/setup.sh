# Runs once, in a chroot, while the image is made. $uuid: of the root file system that this becomes.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# The boards' side of the bus for every kernel; the stand-in of nouveau where the kernel has a nouveau. Then the headers of the
# cloud kernel go: dkms cannot build for it, as on any machine whose second kernel came without headers.
for modules in /lib/modules/*; do
    kernel=${modules##*/}
    make -s -C "$modules/build" M=/usr/src/lab-hardware modules
    install -Dm644 -t "$modules/updates/lab" /usr/src/lab-hardware/lab_gpus.ko
    [ ! -d "$modules/kernel/drivers/gpu/drm/nouveau" ] || install -m644 -t "$modules/updates/lab" /usr/src/lab-hardware/nouveau.ko
    make -s -C "$modules/build" M=/usr/src/lab-hardware clean
done
apt-get purge --yes --quiet 'linux-headers*cloud*'

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
with_headers=$(basename "$(dirname "$(ls -d /lib/modules/*/build | head -n 1)")")
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
apt-get clean
apt-get update
