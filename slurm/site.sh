# shellcheck shell=bash
# shellcheck disable=SC2034  # read by slurm/submit and slurm/job.sh
# Your site: the one file to edit. slurm/submit reads it on the login node, and every job reads it again.
# DISTSIM_SITE names another file in its place. What is set in the environment already comes before what is set here.

# Options of sbatch for every job; what is given to slurm/submit comes later, and counts.
SBATCH_OPTIONS=(
    # --account=YOUR_ACCOUNT
    # --partition=YOUR_PARTITION
    # --mail-type=FAIL,END
)

# yes: each rank computes on a GPU of its own.
: "${GPUS:=no}"
# What asks for one GPU a rank. Where a site wants GPUs by the node, as in (--gres=gpu:4 --ntasks-per-node=4), ranks take
# the GPUs of their node in turn.
GPU_OPTIONS=(--gpus-per-task=1 --gpu-bind=single:1)

# Called in every job, and by `slurm/submit setup`: the MPI, and a C++ compiler for the host kernels.
site_setup() {
    : # module load gcc openmpi
}

# What starts ranks: srun, or the mpiexec of the MPI. With DISTSIM_MPI=mpich take mpiexec: started by srun, with several
# ranks on a node, MPICH 5.0.2 from PyPI fails now and then in MPI_Init.
: "${DISTSIM_START:=srun}"
# For srun: pmix serves Open MPI and most of today's sites, pmi2 MPICH and its children, cray_shasta Cray MPICH
# (`srun --mpi=list`: what there is).
: "${DISTSIM_PMI:=pmix}"
# system: the cluster's MPI. mpich: the one from PyPI, with DISTSIM_START=mpiexec: on one node as good, between nodes
# without the fast network. An MPI installed with pip hides the cluster's, hence not both.
: "${DISTSIM_MPI:=system}"
# CUDA of the compute nodes' driver: 12, 13, or none. Said aloud because the login node may have no driver to ask.
: "${DISTSIM_CUDA:=none}"
# mpi4py's wheel loads the MPI library that the loader finds first (LD_LIBRARY_PATH, which `module load` sets). Where that
# is the wrong one or none, name it, and only it; MPICH 4, Open MPI 4 and 5 and Intel MPI all work with the same wheel:
# export MPI4PY_LIBMPI=/opt/openmpi/lib/libmpi.so.40
