"""Data: Hartree-Fock sweeps, the dataset they make, the images and splits that models see."""

from .images import ImageSet, image_set, ldos_image
from .instruments import STMMap, read_stm
from .plan import SweepPlan, read_plan
from .progress import SweepStatus
from .protocols import Split, continuous_protocol, paper_protocol, random_image_split
from .stm_files import LDOSTable, read_ldos_files
from .store import load_dataset, write_dataset
from .sweep import Sweep

__all__ = [
    "ImageSet",
    "LDOSTable",
    "STMMap",
    "Split",
    "Sweep",
    "SweepPlan",
    "SweepStatus",
    "continuous_protocol",
    "image_set",
    "ldos_image",
    "load_dataset",
    "paper_protocol",
    "random_image_split",
    "read_ldos_files",
    "read_plan",
    "read_stm",
    "write_dataset",
]
