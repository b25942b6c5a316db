"""The lab's Kubernetes: a real control plane on loopback; kwok and a stand-in play what runs on the nodes."""
