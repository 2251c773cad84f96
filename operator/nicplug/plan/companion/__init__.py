"""Beside KubeVirt: what nicplug does and reports where virt-controller runs the virtual machines.

Start at `plan_companion`. The decisions on NICs are those of `plan.vmi.nics`; `virt_controller` says which settings
hold where virt-controller acts, `own_migrations` when nicplug creates and withdraws a migration, and `report` what an
InterfaceReport contains. Nothing here writes VMs, VMIs, pods or their statuses.
"""
