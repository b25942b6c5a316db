# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How to reach the Kubernetes API: the options that every cluster module has (``_kube.connect.ARGUMENT_SPEC``)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of the kubeconfig on the machine that runs the module.
      - Without it, E(KUBECONFIG), then C(~/.kube/config), then the ServiceAccount of the pod are used.
      - If the environment variable E(K8S_AUTH_KUBECONFIG) is set, it is the default.
    type: path
  context:
    description:
      - The kubeconfig's context to use instead of its current one.
      - If the environment variable E(K8S_AUTH_CONTEXT) is set, it is the default.
    type: str
  host:
    description:
      - URL of the API server, instead of the kubeconfig's.
      - If the environment variable E(K8S_AUTH_HOST) is set, it is the default.
    type: str
  api_key:
    description:
      - Bearer token, instead of the kubeconfig's credentials.
      - If the environment variable E(K8S_AUTH_API_KEY) is set, it is the default.
    type: str
  ca_cert:
    description:
      - Path of the certificate authority that signed the API server's certificate, instead of the kubeconfig's.
      - If the environment variable E(K8S_AUTH_SSL_CA_CERT) is set, it is the default.
    type: path
  validate_certs:
    description:
      - Whether to verify the API server's certificate. The kubeconfig decides if this is not given.
      - If the environment variable E(K8S_AUTH_VERIFY_SSL) is set, it is the default.
    type: bool
  request_timeout:
    description: How many seconds one request may take.
    type: int
    default: 30
requirements:
  - "kubernetes >= 24.2.0 (Python)"
"""
