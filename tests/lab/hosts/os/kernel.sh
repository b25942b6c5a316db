# Runs once, while the image is made, after the OS's own script; $kernel is what the machine runs. The machine's kernel
# brings no package and no modules: with these few files depmod and update-initramfs do their real work for it.
set -eu
mkdir -p "/lib/modules/$kernel"
touch "/lib/modules/$kernel/modules.builtin" "/lib/modules/$kernel/modules.builtin.modinfo" \
    "/lib/modules/$kernel/modules.order"
printf 'CONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n' >"/boot/config-$kernel"
printf 'MODULES=list\nCOMPRESS=gzip\nCOMPRESSLEVEL=1\n' >/etc/initramfs-tools/conf.d/lab # nobody boots it: be quick
depmod "$kernel"
update-initramfs -c -k "$kernel"
systemctl enable gpu-stand-in.service
ln -s ../../lib/gpu-stand-in/dmesg /usr/local/bin/dmesg
mkdir -p /var/lib/t9k-gpu-lab/faults
