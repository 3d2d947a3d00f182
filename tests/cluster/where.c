/* Says where each rank of an MPI program runs and what it is given:
 *
 *     where RANK SIZE SUM NODE DEVICES CPUS [MAP]
 *
 * SUM is that of all ranks, which takes communication between all of them; NODE is Slurm's name;
 * DEVICES are the GPUs that Slurm gives; CPUS is how many cores the rank may use; MAP is the
 * value of its option --gpu. With --hold MB each rank but the first fills so much memory, and all
 * stay for six seconds. */

#define _GNU_SOURCE
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return argv[i + 1];
    return NULL;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : "-";
}

int main(int argc, char **argv)
{
    int rank, size, sum;
    const char *map = option(argc, argv, "--gpu");
    const char *hold = option(argc, argv, "--hold");
    cpu_set_t cpus;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    sched_getaffinity(0, sizeof(cpus), &cpus);
    printf("where %d %d %d %s %s %d [%s]\n", rank, size, sum, variable("SLURMD_NODENAME"),
           variable("CUDA_VISIBLE_DEVICES"), CPU_COUNT(&cpus), map ? map : "");
    if (hold) {
        size_t bytes = (size_t)atoi(hold) << 20;
        char *memory = rank ? malloc(bytes) : NULL;
        if (memory)
            memset(memory, 1 + rank, bytes);
        sleep(6);
        if (memory && memory[bytes / 2] != (char)(1 + rank))
            return 1;
    }
    MPI_Finalize();
    return 0;
}
