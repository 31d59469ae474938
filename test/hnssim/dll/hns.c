/* computenetwork.dll and, with -DVMCOMPUTE, vmcompute.dll: every export sends what it is asked to the simulator (package
 * hnssim) and returns its answer. Nothing is decided here.
 *
 *   x86_64-w64-mingw32-gcc -O2 -s -shared -static-libgcc -o computenetwork.dll hns.c -lws2_32 -lole32
 *
 * A call is one connection to the address in HNSSIM_ADDR: four strings there (operation, kind or method, ID or path, body),
 * back an HRESULT and three strings (output, result, ID of what was created). A string is its length, 32 bits in little
 * endian, and its text in UTF-8; the length -1 is NULL. */
#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <objbase.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#define EXPORT __declspec(dllexport) HRESULT WINAPI

static int send_all(SOCKET s, const void *from, int n) {
    const char *p = from;
    for (int k; n > 0; p += k, n -= k)
        if ((k = send(s, p, n, 0)) <= 0) return 0;
    return 1;
}

static int receive_all(SOCKET s, void *to, int n) {
    char *p = to;
    for (int k; n > 0; p += k, n -= k)
        if ((k = recv(s, p, n, 0)) <= 0) return 0;
    return 1;
}

static int send_string(SOCKET s, const char *text) {
    int32_t n = (int32_t)strlen(text);
    return send_all(s, &n, sizeof n) && send_all(s, text, n);
}

/* receive_string returns 0 when the connection fails. The text is malloc'd, or NULL. */
static int receive_string(SOCKET s, char **text) {
    int32_t n;
    *text = NULL;
    if (!receive_all(s, &n, sizeof n)) return 0;
    if (n < 0) return 1;
    if ((*text = malloc((size_t)n + 1)) == NULL) return 0;
    (*text)[n] = 0;
    return receive_all(s, *text, n);
}

static char *to_utf8(LPCWSTR w) { /* malloc'd; "" for NULL */
    if (w == NULL) w = L"";
    int n = WideCharToMultiByte(CP_UTF8, 0, w, -1, NULL, 0, NULL, NULL);
    char *text = malloc(n);
    if (text != NULL) WideCharToMultiByte(CP_UTF8, 0, w, -1, text, n, NULL, NULL);
    return text;
}

static PWSTR to_com(const char *text) { /* for the caller to free with CoTaskMemFree; NULL for NULL */
    if (text == NULL) return NULL;
    int n = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    PWSTR w = CoTaskMemAlloc(n * sizeof *w);
    if (w != NULL) MultiByteToWideChar(CP_UTF8, 0, text, -1, w, n);
    return w;
}

static SOCKET dial(void) {
    static LONG started;
    WSADATA data;
    char address[64] = "", *port;
    struct sockaddr_in to = {.sin_family = AF_INET};

    if (!InterlockedExchange(&started, 1)) WSAStartup(MAKEWORD(2, 2), &data);
    GetEnvironmentVariableA("HNSSIM_ADDR", address, sizeof address);
    if ((port = strrchr(address, ':')) == NULL) return INVALID_SOCKET;
    *port++ = 0;
    to.sin_port = htons((u_short)atoi(port));
    to.sin_addr.s_addr = inet_addr(address);
    SOCKET s = socket(AF_INET, SOCK_STREAM, 0);
    if (s != INVALID_SOCKET && connect(s, (struct sockaddr *)&to, sizeof to) != 0) {
        closesocket(s);
        s = INVALID_SOCKET;
    }
    return s;
}

#define ID_SIZE 128

/* call asks the simulator. output, result and id may be NULL. hcsshim does not reset its pointers, so they are always
 * written. */
static HRESULT call(const char *op, const char *kind, const char *id, LPCWSTR body, PWSTR *output, PWSTR *result, char *created) {
    if (output != NULL) *output = NULL;
    if (result != NULL) *result = NULL;
    SOCKET s = dial();
    if (s == INVALID_SOCKET) return HRESULT_FROM_WIN32(ERROR_SERVICE_NOT_ACTIVE);
    HRESULT hr = E_FAIL, answer;
    char *text = to_utf8(body), *replies[3] = {NULL};
    if (text != NULL && send_string(s, op) && send_string(s, kind) && send_string(s, id) && send_string(s, text) &&
        receive_all(s, &answer, sizeof answer) && receive_string(s, &replies[0]) && receive_string(s, &replies[1]) &&
        receive_string(s, &replies[2])) {
        hr = answer;
        if (output != NULL) *output = to_com(replies[0]);
        if (result != NULL) *result = to_com(replies[1]);
        if (created != NULL && replies[2] != NULL) snprintf(created, ID_SIZE, "%s", replies[2]);
    }
    closesocket(s);
    free(text);
    for (int i = 0; i < 3; i++) free(replies[i]);
    return hr;
}

/* A handle remembers what it stands for; the simulator knows no handles. */
typedef struct {
    char id[ID_SIZE];
} handle;

static handle *new_handle(const char *id) {
    handle *h = calloc(1, sizeof *h);
    if (h != NULL) snprintf(h->id, sizeof h->id, "%s", id);
    return h;
}

#ifdef VMCOMPUTE

EXPORT HNSCall(LPCWSTR method, LPCWSTR path, LPCWSTR body, PWSTR *response) {
    char *m = to_utf8(method), *p = to_utf8(path);
    HRESULT hr = m != NULL && p != NULL ? call("HNSCall", m, p, body, response, NULL, NULL) : E_OUTOFMEMORY;
    free(m);
    free(p);
    return hr;
}

#define SYSTEM "ComputeSystem"

EXPORT HcsOpenComputeSystem(LPCWSTR id, handle **system, PWSTR *result) {
    char *text = to_utf8(id);
    HRESULT hr = text != NULL ? call("Open", SYSTEM, text, NULL, NULL, result, NULL) : E_OUTOFMEMORY;
    *system = SUCCEEDED(hr) ? new_handle(text) : NULL;
    free(text);
    return hr;
}

EXPORT HcsCloseComputeSystem(handle *system) {
    free(system);
    return S_OK;
}

/* Nothing ever happens to a simulated container, so nobody is called back. */
EXPORT HcsRegisterComputeSystemCallback(handle *system, void *callback, void *context, void **registration) {
    (void)system, (void)callback, (void)context;
    *registration = (void *)1;
    return S_OK;
}

EXPORT HcsUnregisterComputeSystemCallback(void *registration) {
    (void)registration;
    return S_OK;
}

EXPORT HcsGetComputeSystemProperties(handle *system, LPCWSTR query, PWSTR *properties, PWSTR *result) {
    return call("Query", SYSTEM, system->id, query, properties, result, NULL);
}

EXPORT HcsModifyComputeSystem(handle *system, LPCWSTR body, PWSTR *result) {
    return call("Modify", SYSTEM, system->id, body, NULL, result, NULL);
}

#else

static const char *to_text(const GUID *g, char text[ID_SIZE]) {
    snprintf(text, ID_SIZE, "%08lx-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", (unsigned long)g->Data1, g->Data2, g->Data3,
             g->Data4[0], g->Data4[1], g->Data4[2], g->Data4[3], g->Data4[4], g->Data4[5], g->Data4[6], g->Data4[7]);
    return text;
}

static HRESULT create(const char *kind, const char *parent, LPCWSTR body, handle **h, PWSTR *result) {
    char id[ID_SIZE] = "";
    HRESULT hr = call("Create", kind, parent, body, NULL, result, id);
    *h = SUCCEEDED(hr) ? new_handle(id) : NULL;
    return hr;
}

static HRESULT open(const char *kind, const GUID *guid, handle **h, PWSTR *result) {
    char id[ID_SIZE];
    HRESULT hr = call("Open", kind, to_text(guid, id), NULL, NULL, result, NULL);
    *h = SUCCEEDED(hr) ? new_handle(id) : NULL;
    return hr;
}

#define KIND(NAME)                                                                                                   \
    EXPORT HcnEnumerate##NAME##s(LPCWSTR query, PWSTR *list, PWSTR *result) {                                        \
        return call("Enumerate", #NAME, "", query, list, result, NULL);                                              \
    }                                                                                                                \
    EXPORT HcnOpen##NAME(const GUID *guid, handle **h, PWSTR *result) { return open(#NAME, guid, h, result); }       \
    EXPORT HcnModify##NAME(handle *h, LPCWSTR body, PWSTR *result) {                                                 \
        return call("Modify", #NAME, h->id, body, NULL, result, NULL);                                               \
    }                                                                                                                \
    EXPORT HcnQuery##NAME##Properties(handle *h, LPCWSTR query, PWSTR *properties, PWSTR *result) {                  \
        return call("Query", #NAME, h->id, query, properties, result, NULL);                                         \
    }                                                                                                                \
    EXPORT HcnDelete##NAME(const GUID *guid, PWSTR *result) {                                                        \
        char id[ID_SIZE];                                                                                            \
        return call("Delete", #NAME, to_text(guid, id), NULL, NULL, result, NULL);                                   \
    }                                                                                                                \
    EXPORT HcnClose##NAME(handle *h) {                                                                               \
        free(h);                                                                                                     \
        return S_OK;                                                                                                 \
    }

/* The GUID that a Create is given is always zero in hcsshim; a wanted ID is in the body. */
#define CREATE(NAME)                                                                                                 \
    EXPORT HcnCreate##NAME(const GUID *guid, LPCWSTR body, handle **h, PWSTR *result) {                              \
        (void)guid;                                                                                                  \
        return create(#NAME, "", body, h, result);                                                                   \
    }

KIND(Network)
CREATE(Network)
KIND(Namespace)
CREATE(Namespace)
KIND(LoadBalancer)
CREATE(LoadBalancer)
KIND(SdnRoute)
CREATE(SdnRoute)
KIND(Endpoint)
EXPORT HcnCreateEndpoint(handle *network, const GUID *guid, LPCWSTR body, handle **h, PWSTR *result) {
    (void)guid;
    return create("Endpoint", network->id, body, h, result);
}

#endif
