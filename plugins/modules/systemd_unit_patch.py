#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Edit arguments of a systemd service's command through a drop-in."""

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_unit_patch
short_description: Edit arguments of a systemd service's command through a drop-in
version_added: 0.1.0
description:
  - Removes arguments from C(ExecStart) of a service, or adds some, by a drop-in below C(/etc/systemd/system) that
    resets and rewrites the command. The unit's own file is never touched. The program, its prefixes, the other
    arguments and their quoting stay.
  - The drop-in is always computed from the unit without it. It is written only where it changes the command, and
    removed where the unit does not need it any more, for example after an upgrade of its package.
  - A unit in C(/etc/systemd/system) that replaces the packaged one is respected, and so are other drop-ins. One that
    is read later and sets C(ExecStart) is an error that names it.
  - Warns where the packaged unit file was edited by hand, because the next upgrade of its package undoes that.
  - Does not restart the service, and reloads systemd only if asked to, because C(systemctl daemon-reload) can take
    GPUs away from running containers.
author:
  - t9k.gpu maintainers (@t9k)
attributes:
  check_mode:
    description: Can run in check mode and tell what it would change, without changing it.
    support: full
  diff_mode:
    description: Returns each drop-in before and after.
    support: full
options:
  unit:
    description:
      - The services, with or without C(.service). Aliases stand for their unit; a unit named twice counts once; an
        instance counts as covered where its template is named too.
    type: list
    elements: str
    required: true
    aliases: [name]
  remove:
    description:
      - Arguments to remove wherever they occur, each as it is written in a unit file.
      - V(--flag) removes the word alone and never C(--flag=value). V(--flag=value) and V(--flag value) stand for each
        other and remove both spellings.
      - Words inside a quoted argument, such as a script for C(sh -c), are not looked into.
    type: list
    elements: str
    default: []
  add:
    description: Arguments to add at the end of the command where they are missing, written like those of O(remove).
    type: list
    elements: str
    default: []
  program:
    description:
      - Edit only the commands that run this program, by its path or its name. By default every command of the unit is
        edited.
    type: str
  drop_in:
    description:
      - File name of the drop-in. One name holds one set of edits, so tasks for the same unit that are apart need
        names of their own.
      - If it is there before, it is replaced.
    type: str
    default: 50-t9k-gpu.conf
  state:
    description: Whether the edits are in force; V(absent) removes the drop-in of this name.
    type: str
    choices: [present, absent]
    default: present
  missing_ok:
    description: Whether a unit that does not exist or is masked is passed over; it is an error otherwise.
    type: bool
    default: false
  daemon_reload:
    description:
      - Whether systemd is told to read its units again after a change, or where it says that its view is out of date.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Keep the driver loaded while nobody uses the GPU
  t9k.gpu.systemd_unit_patch:
    unit: nvidia-persistenced
    remove:
      - --no-persistence-mode
  register: persistence

- name: Reload on a drained node
  ansible.builtin.systemd_service:
    daemon_reload: true
  when: persistence.reload_needed

- name: Take the edits back
  t9k.gpu.systemd_unit_patch:
    unit: nvidia-persistenced
    state: absent
"""

RETURN = r"""
units:
  description: One entry for each unit, in the order given.
  type: list
  elements: dict
  returned: success
  contains:
    unit:
      description: The unit's own name.
      type: str
      sample: nvidia-persistenced.service
    exists:
      description: Whether the unit exists and is not masked. Where it is false, the other values are null or false.
      type: bool
    fragment:
      description: The unit's file.
      type: str
      sample: /lib/systemd/system/nvidia-persistenced.service
    command_before:
      description: The commands before.
      type: list
      elements: str
      sample: [/usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose]
    command_after:
      description: The commands after.
      type: list
      elements: str
      sample: [/usr/bin/nvidia-persistenced --user nvidia-persistenced --verbose]
    drop_in:
      description: The drop-in's path.
      type: str
      sample: /etc/systemd/system/nvidia-persistenced.service.d/50-t9k-gpu.conf
    drop_in_present:
      description: Whether the drop-in is there afterwards.
      type: bool
    reason:
      description: Why the drop-in is there or not.
      type: str
    enable_possible:
      description: Whether the unit can be enabled, that is, has an install section.
      type: bool
    vendor_edited:
      description: Whether the packaged file differs from what its package installed; null where no package owns it.
      type: bool
    reload_needed:
      description: Whether systemd's view of the unit is out of date.
      type: bool
command_before:
  description: As in RV(units), where one unit was given.
  type: list
  elements: str
  returned: one unit
command_after:
  description: As in RV(units), where one unit was given.
  type: list
  elements: str
  returned: one unit
drop_in:
  description: As in RV(units), where one unit was given.
  type: str
  returned: one unit
enable_possible:
  description: As in RV(units), where one unit was given.
  type: bool
  returned: one unit
vendor_edited:
  description: Whether any packaged file was edited by hand.
  type: bool
  returned: success
reload_needed:
  description: Whether systemd must read its units again; false after O(daemon_reload).
  type: bool
  returned: success
"""

from dataclasses import dataclass, replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._command import Run, runner
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import apply_file, under
from ansible_collections.t9k.gpu.plugins.module_utils._linux.systemd_unit import (
    DEFAULT_DROP_IN,
    DropInPlan,
    Unit,
    distinct,
    load,
    loaded_argv,
    parse_show,
    plan,
    vendor_edited,
)

ROOT = "/"
PROPERTIES = "Id,LoadState,FragmentPath,DropInPaths,NeedDaemonReload,ExecStart"


@dataclass(frozen=True)
class Outcome:
    """One unit's part of the result. ``stale``: systemd says that its view is out of date."""

    name: str
    unit: Unit | None = None
    plan: DropInPlan | None = None
    change: Change | None = None
    edited: bool | None = None
    stale: bool = False

    @property
    def reload_needed(self) -> bool:
        return self.stale or (self.change is not None and self.change.changed)

    def to_dict(self) -> dict[str, Any]:
        unit, planned = self.unit, self.plan
        return {
            "unit": self.name,
            "exists": unit is not None,
            "fragment": unit.fragment.path if unit else None,
            "command_before": list(planned.command_before) if planned else None,
            "command_after": list(planned.command_after) if planned else None,
            "drop_in": planned.path if planned else None,
            "drop_in_present": planned is not None and planned.text is not None,
            "reason": planned.reason if planned else "the unit does not exist or is masked",
            "enable_possible": unit is not None and unit.enable_possible,
            "vendor_edited": self.edited,
            "reload_needed": self.reload_needed,
        }


def shown(run: Run, name: str) -> dict[str, str]:
    """What systemd itself says of a unit; nothing where it does not run, or for a template, which it never loads."""
    if name.endswith("@.service"):
        return {}
    done = run(["systemctl", "show", "--no-pager", f"--property={PROPERTIES}", "--", name], 30)
    return parse_show(done.stdout) if done.ok else {}


def find(name: str, says: dict[str, str]) -> Unit:
    """The unit from the files that it has and those that systemd knows of, or why there is none."""
    unit = load(name, ROOT, says.get("FragmentPath"), tuple(says.get("DropInPaths", "").split()))
    if unit is None:
        raise GpuError(
            f"the unit {name}",
            "no such unit",
            "systemctl show and systemd's unit folders",
            "install the package that has it, or set missing_ok",
        )
    if unit.masked or says.get("LoadState") == "masked":
        step = f"systemctl unmask {name}, or set missing_ok"
        raise GpuError(f"the unit {name} to have a command", "it is masked", unit.fragment.path, step)
    return unit


def warn(module: AnsibleModule, outcome: Outcome, says: dict[str, str]) -> None:
    """Say what a person should know although it is no fault of this task."""
    if outcome.unit is None:
        return
    path = outcome.unit.fragment.path
    if outcome.edited:
        module.warn(
            f"{path} was edited by hand and the next upgrade of its package undoes that: reinstall the package to get "
            "its own file back, and let this module's drop-in do the edit."
        )
    loaded = loaded_argv(says.get("ExecStart", ""))
    from_files = tuple(command.argv for command in outcome.unit.commands)
    if loaded and not outcome.stale and not any("%" in argv for argv in from_files) and loaded != from_files:
        module.warn(f"{outcome.name}: systemd has the command {loaded}, but the files give {from_files}.")


def prepare(module: AnsibleModule, run: Run) -> list[Outcome]:
    """Every unit's plan, before anything is changed."""
    params, found = module.params, {}
    remove, add = (params["remove"], params["add"]) if params["state"] == "present" else ([], [])
    for name in distinct(params["unit"]):
        says = shown(run, name)
        try:
            unit = find(name, says)
        except GpuError:
            if not params["missing_ok"]:
                raise
            found[name] = Outcome(name)
            continue
        if unit.name in found:  # by an alias
            continue
        planned = plan(unit, remove, add, params["drop_in"], params["program"])
        edited, stale = vendor_edited(unit.fragment.path, ROOT), says.get("NeedDaemonReload") == "yes"
        found[unit.name] = Outcome(unit.name, unit, planned, None, edited, stale)
        warn(module, found[unit.name], says)
    return list(found.values())


def apply(module: AnsibleModule, outcome: Outcome) -> Outcome:
    """Bring one unit's drop-in to its plan; an emptied folder of ours goes too."""
    if outcome.plan is None:
        return outcome
    path = under(ROOT, outcome.plan.path)
    change = apply_file(module, str(path), outcome.plan.text)
    if change.changed and outcome.plan.text is None and not module.check_mode and not any(path.parent.iterdir()):
        path.parent.rmdir()
    return replace(outcome, change=change)


def daemon_reload(module: AnsibleModule, run: Run, needed: bool) -> bool:
    """Reload if asked and needed; whether a reload is still needed afterwards."""
    if not (needed and module.params["daemon_reload"]) or module.check_mode:
        return needed
    done = run(["systemctl", "daemon-reload"], 120)
    if not done.ok:
        raise GpuError(
            "systemd to read its units again",
            f"exit status {done.rc}: {done.stderr.strip()}",
            "systemctl daemon-reload",
            "see the journal; the drop-ins are written already",
        )
    return False


def result(outcomes: list[Outcome], reload_needed: bool) -> dict[str, Any]:
    units = [outcome.to_dict() for outcome in outcomes]
    single = ("command_before", "command_after", "drop_in", "enable_possible")
    changes = [outcome.change for outcome in outcomes if outcome.change is not None]
    return {
        "changed": any(change.changed for change in changes),
        "diff": [change.diff for change in changes if change.changed],
        "units": units,
        "vendor_edited": any(outcome.edited for outcome in outcomes),
        "reload_needed": reload_needed,
        **({key: units[0][key] for key in single} if len(units) == 1 else {}),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "list", "elements": "str", "required": True, "aliases": ["name"]},
            "remove": {"type": "list", "elements": "str", "default": []},
            "add": {"type": "list", "elements": "str", "default": []},
            "program": {"type": "str"},
            "drop_in": {"type": "str", "default": DEFAULT_DROP_IN},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "missing_ok": {"type": "bool", "default": False},
            "daemon_reload": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    run = runner(module)
    try:
        ready = prepare(module, run)
        outcomes = [apply(module, each) for each in ready]
        reload_needed = daemon_reload(module, run, any(outcome.reload_needed for outcome in outcomes))
    except GpuError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(outcomes, reload_needed))


if __name__ == "__main__":
    main()
