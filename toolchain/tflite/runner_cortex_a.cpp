// Runs model.int8.tflite on a Cortex-A core (aarch64): int8 words in, int8 words out, through LiteRT's C API.
//
//   pip install ai-edge-litert
//   cp "$(python3 -c 'import ai_edge_litert as l; print(l.__path__[0])')/libLiteRt.so" .
//   g++ -O2 runner_cortex_a.cpp -o runner ./libLiteRt.so
//   LD_LIBRARY_PATH=. ./runner model.int8.tflite inputs.bin outputs.bin
//
// The copy stands alone on purpose: LiteRT loads accelerators beside it, and the wheel's needs a core with LSE.
//
// inputs.bin: @INPUT@ bytes a sample, one sample after the other; in each:
@PORTS@
// outputs.bin: @OUTPUT@ bytes a sample: (q - @OUTPUT_ZERO@) * @OUTPUT_SCALE@. Exit code 1 and a line on standard error when anything fails.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// The wheel brings the library without its headers. These are the functions that are used, as LiteRT's
// litert/c/litert_{common,environment,model,options,compiled_model,tensor_buffer}.h declare them (2.2 and 2.3).
extern "C" {
typedef int Status;  // 0: no error
typedef struct Environment_* Environment;
typedef struct Model_* Model;
typedef struct Options_* Options;
typedef struct CompiledModel_* CompiledModel;
typedef struct Requirements_* Requirements;
typedef struct Buffer_* Buffer;
typedef struct {
  unsigned int rank : 7;
  unsigned int has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
} Layout;
typedef struct {
  int element_type;
  Layout layout;
} TensorType;
Status LiteRtCreateEnvironment(int, const void*, Environment*);
Status LiteRtCreateModelFromFile(Environment, const char*, Model*);
Status LiteRtCreateOptions(Options*);
Status LiteRtSetOptionsHardwareAccelerators(Options, int);
Status LiteRtCreateCompiledModel(Environment, Model, Options, CompiledModel*);
Status LiteRtGetCompiledModelInputBufferRequirements(CompiledModel, size_t, size_t, Requirements*);
Status LiteRtGetCompiledModelOutputBufferRequirements(CompiledModel, size_t, size_t, Requirements*);
Status LiteRtGetCompiledModelInputTensorLayout(CompiledModel, size_t, size_t, Layout*);
Status LiteRtGetCompiledModelOutputTensorLayouts(CompiledModel, size_t, size_t, Layout*, bool);
Status LiteRtCreateManagedTensorBufferFromRequirements(Environment, const TensorType*, Requirements, Buffer*);
Status LiteRtLockTensorBuffer(Buffer, void**, int);
Status LiteRtUnlockTensorBuffer(Buffer);
Status LiteRtRunCompiledModel(CompiledModel, size_t, size_t, Buffer*, size_t, Buffer*);
}

static const int kInt8 = 9, kCpu = 1, kRead = 0, kWrite = 1;
static const size_t kInputs[] = {@INPUTS@};  // bytes of each input
static const size_t kCount = sizeof kInputs / sizeof kInputs[0];
static const size_t kInputBytes = @INPUT@, kOutputBytes = @OUTPUT@;

static void check(Status status, const char* what) {
  if (status == 0) return;
  fprintf(stderr, "%s: LiteRT status %d\n", what, status);
  exit(1);
}

static void stop_unless(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static size_t elements(const Layout& layout) {
  size_t count = 1;
  for (unsigned int axis = 0; axis < layout.rank; ++axis) count *= static_cast<size_t>(layout.dimensions[axis]);
  return count;
}

int main(int argc, char** argv) {
  stop_unless(argc == 4, "usage: runner MODEL INPUTS OUTPUTS");
  Environment environment;
  Model model;
  Options options;
  CompiledModel compiled;
  check(LiteRtCreateEnvironment(0, nullptr, &environment), "environment");
  check(LiteRtCreateModelFromFile(environment, argv[1], &model), argv[1]);
  check(LiteRtCreateOptions(&options), "options");
  check(LiteRtSetOptionsHardwareAccelerators(options, kCpu), "options");
  check(LiteRtCreateCompiledModel(environment, model, options, &compiled), argv[1]);

  TensorType input_type = {kInt8, {}}, output_type = {kInt8, {}};
  Requirements needed;
  Buffer inputs[kCount], output;
  check(LiteRtGetCompiledModelOutputTensorLayouts(compiled, 0, 1, &output_type.layout, false), "output layout");
  stop_unless(elements(output_type.layout) == kOutputBytes, "the model's output is not of this runner's size");
  for (size_t port = 0; port < kCount; ++port) {
    check(LiteRtGetCompiledModelInputTensorLayout(compiled, 0, port, &input_type.layout), "input layout");
    stop_unless(elements(input_type.layout) == kInputs[port], "the model's input is not of this runner's size");
    check(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, port, &needed), "input");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &input_type, needed, &inputs[port]), "input buffer");
  }
  check(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, 0, &needed), "output");
  check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &output_type, needed, &output), "output buffer");

  FILE* source = fopen(argv[2], "rb");
  stop_unless(source != nullptr, "the inputs cannot be opened");
  FILE* target = fopen(argv[3], "wb");
  stop_unless(target != nullptr, "the outputs cannot be opened");
  int8_t sample[kInputBytes];
  size_t found;
  while ((found = fread(sample, 1, kInputBytes, source)) == kInputBytes) {
    void* memory;
    for (size_t port = 0, first = 0; port < kCount; first += kInputs[port++]) {
      check(LiteRtLockTensorBuffer(inputs[port], &memory, kWrite), "input buffer");
      memcpy(memory, sample + first, kInputs[port]);
      check(LiteRtUnlockTensorBuffer(inputs[port]), "input buffer");
    }
    check(LiteRtRunCompiledModel(compiled, 0, kCount, inputs, 1, &output), "run");
    check(LiteRtLockTensorBuffer(output, &memory, kRead), "output buffer");
    stop_unless(fwrite(memory, 1, kOutputBytes, target) == kOutputBytes, "the outputs cannot be written");
    check(LiteRtUnlockTensorBuffer(output), "output buffer");
  }
  stop_unless(found == 0 && !ferror(source), "the inputs do not end with a whole sample");
  stop_unless(fclose(target) == 0, "the outputs cannot be written");
  return 0;  // the system frees what is left
}
