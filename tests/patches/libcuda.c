/* Stands in for libcuda.so.1 where there is no GPU: keeps what a launch was given. */
#include <stddef.h>

typedef unsigned long long u64;
typedef struct {
    unsigned grid[3], block[3], shared;
    void *stream, *attributes;
    unsigned count;
} Config;

static Config last;
static u64 kept[64];
static int launches, arguments;

int launched(void) { return launches; }
void expect(int count) { arguments = count; }
u64 argument(int i) { return kept[i]; }
unsigned grid(int i) { return last.grid[i]; }
u64 stream(void) { return (u64)last.stream; }

int cuLaunchKernelEx(const Config *config, void *function, void **given, void **extra) {
    last = *config;
    launches++;
    for (int i = 0; i < arguments; i++) kept[i] = *(u64 *)given[i];
    return 0;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void *on, void **given, void **extra) {
    Config config = {{gx, gy, gz}, {bx, by, bz}, shared, on, 0, 0};
    return cuLaunchKernelEx(&config, function, given, extra);
}
int cuCtxGetCurrent(void **context) { *context = (void *)1; return 0; }
int cuCtxGetDevice(int *device) { *device = 0; return 0; }
int cuCtxGetLimit(size_t *value, int limit) { *value = 0; return 0; }
int cuDeviceGet(int *device, int i) { *device = i; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 10 ? 32 : 232448;
    return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)1; return 0; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuFuncGetAttribute(int *value, int attribute, void *function) {
    *value = attribute == 0 ? 1024 : 0;
    return 0;
}
int cuGetErrorString(int error, const char **text) { *text = "stand-in"; return 0; }
int cuModuleGetFunction(void **function, void *module, const char *name) { *function = (void *)3; return 0; }
int cuModuleLoadData(void **module, const void *data) { *module = (void *)2; return 0; }
int cuOccupancyMaxActiveClusters(int *count, void *function, void *config) { *count = 1; return 0; }
int cuPointerGetAttribute(void *data, int attribute, u64 pointer) { *(u64 *)data = pointer; return 0; }
int cuStreamIsCapturing(void *on, int *value) { *value = 0; return 0; }
#define NOTHING(name) int name(void) { return 0; }
NOTHING(cuCtxSetCurrent) NOTHING(cuCtxSetLimit) NOTHING(cuFuncSetAttribute) NOTHING(cuFuncSetCacheConfig)
NOTHING(cuModuleUnload) NOTHING(cuPointerGetAttributes) NOTHING(cuTensorMapEncodeIm2col)
NOTHING(cuTensorMapEncodeTiled)
