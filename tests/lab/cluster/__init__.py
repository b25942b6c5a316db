"""The lab's Kubernetes: a real control plane on loopback, kwok as every kubelet, a stand-in for the GPU Operator's pods."""
