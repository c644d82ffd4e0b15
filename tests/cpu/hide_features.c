/* Preloaded library that hides AVX-512, VNNI and AMX, so that programs choose their kernels for AVX2.
 *
 * The kernel makes the instruction CPUID fault. The handler executes it, clears the bits of the features in its result,
 * and resumes after it. Build: cc -O1 -shared -fPIC hide_features.c -o hide_features.so -ldl
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))

/* Leaf 7 of Intel's manual, volume 2A, CPUID: AVX512*, VAES and VPCLMULQDQ, AMX; then AVX_VNNI and their kin. */
#define LEAF7_EBX (BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31))
#define LEAF7_ECX (BIT(1) | BIT(6) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14))
#define LEAF7_EDX (BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25))
#define LEAF71_EAX (BIT(4) | BIT(5) | BIT(21) | BIT(23))
#define LEAF71_EDX (BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19))

static struct sigaction other; /* what the program installs for SIGSEGV */
static int (*next_sigaction)(int, const struct sigaction *, struct sigaction *);

static void faulting(int enabled) { syscall(SYS_arch_prctl, ARCH_SET_CPUID, !enabled); }

static void on_fault(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *instruction = (const unsigned char *)registers[REG_RIP];
    if (instruction != NULL && instruction[0] == 0x0f && instruction[1] == 0xa2) {
        unsigned leaf = registers[REG_RAX], subleaf = registers[REG_RCX], a, b, c, d;
        faulting(0);
        __cpuid_count(leaf, subleaf, a, b, c, d);
        faulting(1);
        if (leaf == 7 && subleaf == 0)
            b &= ~LEAF7_EBX, c &= ~LEAF7_ECX, d &= ~LEAF7_EDX;
        if (leaf == 7 && subleaf == 1)
            a &= ~LEAF71_EAX, d &= ~LEAF71_EDX;
        registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
        registers[REG_RIP] += 2;
    } else if (other.sa_flags & SA_SIGINFO) {
        other.sa_sigaction(signal, info, context);
    } else if (other.sa_handler != SIG_DFL && other.sa_handler != SIG_IGN) {
        other.sa_handler(signal);
    } else {
        struct sigaction standard = {.sa_handler = SIG_DFL};
        next_sigaction(SIGSEGV, &standard, NULL);
    }
}

/* Keep the handler in place when the program installs its own. */
int sigaction(int signal, const struct sigaction *action, struct sigaction *old)
{
    if (signal != SIGSEGV)
        return next_sigaction(signal, action, old);
    if (old != NULL)
        *old = other;
    if (action != NULL)
        other = *action;
    return 0;
}

__attribute__((constructor)) static void hide(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    next_sigaction = dlsym(RTLD_NEXT, "sigaction");
    next_sigaction(SIGSEGV, &action, &other);
    faulting(1);
}
