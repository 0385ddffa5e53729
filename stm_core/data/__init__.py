"""Data: Hartree-Fock sweeps, the dataset they make, the images and splits that models see."""

from .calibration import BraggLattice, find_graphene, find_moire, level
from .engine_study import BENCHMARKS, engine_study, load_engine_study
from .images import ImageSet, image_set, ldos_image, rendered
from .instruments import PICTURES, STMMap, is_scan_file, read_stm
from .magic_angle import load_magic_angle, magic_angle_study
from .plan import SweepPlan, read_plan
from .progress import SweepStatus
from .protocols import Split, continuous_protocol, paper_protocol, random_image_split
from .registration import Registration, register
from .sampling import as_ldos, cell_ldos, scan_image, tip_height
from .scan_ldos import read_scan_image, read_scan_ldos
from .selection import branches, cell_of, joined, lowest_states, select, state_labels, with_domains
from .stm_files import LDOSTable, read_ldos_files
from .store import load_dataset, write_dataset
from .summary import coverage, energy_above_lowest, flat_levels_in_reach, ground_runs
from .sweep import Sweep

__all__ = [
    "BENCHMARKS",
    "PICTURES",
    "BraggLattice",
    "ImageSet",
    "LDOSTable",
    "Registration",
    "STMMap",
    "Split",
    "Sweep",
    "SweepPlan",
    "SweepStatus",
    "as_ldos",
    "branches",
    "cell_ldos",
    "cell_of",
    "continuous_protocol",
    "coverage",
    "energy_above_lowest",
    "engine_study",
    "find_graphene",
    "find_moire",
    "flat_levels_in_reach",
    "ground_runs",
    "image_set",
    "is_scan_file",
    "joined",
    "ldos_image",
    "level",
    "load_dataset",
    "load_engine_study",
    "load_magic_angle",
    "lowest_states",
    "magic_angle_study",
    "paper_protocol",
    "random_image_split",
    "read_ldos_files",
    "read_plan",
    "read_scan_image",
    "read_scan_ldos",
    "read_stm",
    "register",
    "rendered",
    "scan_image",
    "select",
    "state_labels",
    "tip_height",
    "with_domains",
    "write_dataset",
]
