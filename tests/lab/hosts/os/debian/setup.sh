# Runs once, while the image is made. NVIDIA's programs of Debian cannot find a GPU here, so the stand-ins take their
# places for good: dpkg keeps the real files beside them. Each link goes through a folder that only the real package
# brings, so it leads nowhere until the package is installed.
set -eu
divert() { # path, package, stand-in
    mkdir -p "$(dirname "$1")"
    dpkg-divert --local --no-rename --divert "$1.real" --add "$1"
    ln -sfn "/usr/share/doc/$2/../../../lib/gpu-stand-in/$3" "$1"
}
divert /usr/bin/nvidia-persistenced nvidia-persistenced nvidia-persistenced
divert /usr/lib/nvidia/current/nvidia-smi nvidia-smi nvidia-smi
divert /usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.1 libcuda1 libcuda.so
