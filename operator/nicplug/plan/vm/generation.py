"""Whether a VMI is what the present generation of its VM asks for.

Source: KubeVirt 1.9 `vm.go` (`conditionallyBumpGenerationAnnotationOnVmi`, `patchVmGenerationFromControllerRevision`):
a change of the VM that leaves the template as it was when the VMI was started, such as another run strategy, does not
leave the VMI behind.
"""

from nicplug.model.metadata import text
from nicplug.model.names import VM_GENERATION_ANNOTATION
from nicplug.model.revision import parse_generation
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import PatchAnnotations, patch_annotation
from nicplug.plan.views import VmView


def bump_generation(view: VmView, vmi: VirtualMachineInstance) -> PatchAnnotations | None:
    """The annotation with the generation that the VMI is of, or None when it says so, or nobody knows.

    Not before the status names the revision: until then the annotation is all that tells what the VMI was started from.
    """
    known, seen = view.revision, parse_generation(vmi.started_from_generation)
    if known is None or seen == view.vm.generation:
        return None
    if not text(vmi.read_status().get("virtualMachineRevisionName")):
        return None
    wanted = view.vm.generation if known.template == view.vm.template else seen or known.vm_generation
    if wanted == seen:
        return None
    return patch_annotation(vmi, VM_GENERATION_ANNOTATION, str(wanted))
