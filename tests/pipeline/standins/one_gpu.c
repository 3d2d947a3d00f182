/* Lets a RELION that was built without CUDA start MotionCor2: preload it.
 *
 * To share out devices, `rank % devCount` in MotioncorrRunner::executeMotioncor2, it divides by the
 * number of GPUs, which it only counts when it was built with CUDA. Here a division by zero leaves
 * the remainder zero, as with one GPU, and the program goes on behind it. For x86-64 and Linux.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

static void one_gpu(int number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	const unsigned char *code = (const unsigned char *)registers[REG_RIP];
	if ((*code & 0xf0) == 0x40) /* REX */
		code++;
	code++; /* F7, the division */
	const int mod = *code >> 6, operand = *code & 7;
	code++;
	if (mod != 3 && operand == 4) /* SIB */
		code++;
	code += mod == 1 ? 1 : mod == 2 || (mod == 0 && operand == 5) ? 4 : 0;
	registers[REG_RDX] = 0;
	registers[REG_RIP] = (greg_t)code;
}

__attribute__((constructor)) static void install(void)
{
	struct sigaction action = {0};
	action.sa_sigaction = one_gpu;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGFPE, &action, NULL);
}
