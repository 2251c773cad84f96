"""Pure decisions: a view of the world in, a plan out.

No I/O, no clock, no asyncio, no Kopf, no client. `plan.vm.plan_vm` and `plan.vmi.plan_vmi` are the entries;
every other module answers one question for them.
"""
