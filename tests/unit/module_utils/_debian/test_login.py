"""Names and passwords of apt's addresses: what people see, what apt reads."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.login import entries, has_login, shown
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

# fmt: off
FILES = [
    ("none", ["https://mirror/ubuntu", "file:/srv/a@b"], ""),
    ("both", ["https://gpu:pw@mirror/ubuntu"], "machine https://mirror/ubuntu/ login gpu password pw\n"),
    ("plain http, which apt wants to be told of", ["http://gpu:pw@mirror:8080"], "machine http://mirror:8080/ login gpu password pw\n"),
    ("a token alone", ["https://token@mirror/"], "machine https://mirror/ login token\n"),
    ("escaped, as an address needs it", ["https://a%40b:p%2Fq@mirror/"], "machine https://mirror/ login a@b password p/q\n"),
    ("an @ in the password", ["https://gpu:p@ss@mirror/"], "machine https://mirror/ login gpu password p@ss\n"),
    ("a colon in the password", ["https://gpu:p:w@mirror/"], "machine https://mirror/ login gpu password p:w\n"),
    ("twice the same", ["https://gpu:pw@mirror/a", "https://gpu:pw@mirror/a/"], "machine https://mirror/a/ login gpu password pw\n"),
    ("the longest first", ["https://a:1@mirror/", "https://b:2@mirror/x/y"],
     "machine https://mirror/x/y/ login b password 2\nmachine https://mirror/ login a password 1\n"),
]
# fmt: on


@pytest.mark.parametrize(("addresses", "text"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_what_apt_reads(addresses: list[str], text: str) -> None:
    assert entries(addresses) == text


@pytest.mark.parametrize("login", ["gpu:p%20w", "gpu:p%0Aw", "g%09u:pw", "gpu:", ":pw"])
def test_what_apt_cannot_be_told_is_refused(login: str) -> None:
    with pytest.raises(GpuError, match="without white space") as refused:
        entries([f"https://{login}@mirror/ubuntu"])
    assert "https://mirror/ubuntu" in str(refused.value) and login not in str(refused.value)


def test_what_people_see() -> None:
    text = entries(["https://gpu:hunter2@mirror/ubuntu"])
    assert shown(text) == "machine https://mirror/ubuntu/ login (not shown)\n"
    assert shown("W: http://gpu:hunter2@mirror/x failed") == "W: http://mirror/x failed"
    assert has_login("https://gpu@mirror/") and not has_login("https://mirror/a@b")
