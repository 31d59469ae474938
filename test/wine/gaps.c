/* What Go programs of 2026 need of Windows and Wine 8 lacks. Built as bcryptprimitives.dll, which the Go runtime loads
 * before anything else:
 *   x86_64-w64-mingw32-gcc -O2 -s -shared -static-libgcc -o bcryptprimitives.dll gaps.c -ladvapi32 */
#include <windows.h>
#include <winternl.h>
#include <string.h>

/* ProcessPrng fills a buffer with random bytes. Go takes them from nowhere else since 1.22. */
BOOLEAN WINAPI SystemFunction036(PVOID buffer, ULONG size); /* advapi32: RtlGenRandom */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T size) {
    while (size > 0) {
        ULONG part = size > 0x10000 ? 0x10000 : (ULONG)size;
        if (!SystemFunction036(buffer, part)) return FALSE;
        buffer += part;
        size -= part;
    }
    return TRUE;
}

/* NtSetInformationFile knows no FileDispositionInformationEx in Wine 8 and says STATUS_NOT_IMPLEMENTED. An old Windows
 * says STATUS_INVALID_INFO_CLASS, and Go's os.RemoveAll then deletes the old way. So the export begins with a jump to
 * the function below, and a copy of the original, which is 32 bytes that work anywhere, serves everything else. */
#define STUB_SIZE 32
#define DISPOSITION_EX 64
#define INVALID_INFO_CLASS ((NTSTATUS)0xC0000003)

typedef NTSTATUS(NTAPI *set_information_file)(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG, ULONG);
static set_information_file original;

static NTSTATUS NTAPI without_disposition_ex(HANDLE file, PIO_STATUS_BLOCK status, PVOID info, ULONG size, ULONG class) {
    return class == DISPOSITION_EX ? INVALID_INFO_CLASS : original(file, status, info, size, class);
}

static BOOL patch(void) {
    static const BYTE syscall_stub[] = {0x4c, 0x8b, 0xd1, 0xb8}; /* mov r10, rcx; mov eax, number */
    BYTE jump[14] = {0xff, 0x25};                                /* jmp [rip+0]; the address follows */
    void *target = (void *)GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "NtSetInformationFile");
    void *hook = (void *)without_disposition_ex, *copy;
    DWORD before;

    if (target == NULL || memcmp(target, syscall_stub, sizeof syscall_stub) != 0) return FALSE;
    copy = VirtualAlloc(NULL, STUB_SIZE, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    if (copy == NULL) return FALSE;
    memcpy(copy, target, STUB_SIZE);
    original = (set_information_file)copy;
    memcpy(jump + 6, &hook, sizeof hook);
    if (!VirtualProtect(target, STUB_SIZE, PAGE_EXECUTE_READWRITE, &before)) return FALSE;
    memcpy(target, jump, sizeof jump);
    return VirtualProtect(target, STUB_SIZE, before, &before);
}

/* A FALSE here ends the process: without the patch half of the tests would fail for a reason that nobody sees. */
BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, LPVOID reserved) {
    (void)self, (void)reserved;
    return reason != DLL_PROCESS_ATTACH || patch();
}
