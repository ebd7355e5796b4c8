// Runs the model of model_data.h through TFLite Micro, with no file system and no heap, and compares every word of
// test_vectors.h: reference kernels round as TFLite Micro's own interpreter does.
//
// Build it with TFLite Micro's sources (tensorflow/lite/micro, its library libtensorflow-microlite.a) for your core, plus
// plain_c/ on the include path for model_data.h. main() returns the number of differing words: 0 is right.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "model_data.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "test_vectors.h"

// An upper bound from the tensors' sizes; arena_used_bytes() below says what your build takes.
#ifndef ARENA_BYTES
#define ARENA_BYTES @ARENA@
#endif
alignas(16) static uint8_t arena[ARENA_BYTES];

static const size_t input_bytes[] = {@INPUTS@};  // of each input; a sample holds one behind the other
static const size_t inputs = sizeof input_bytes / sizeof input_bytes[0];

static TfLiteStatus add_operators(tflite::MicroMutableOpResolver<@COUNT@>& resolver) {
@OPERATORS@
  return kTfLiteOk;
}

int main() {
  tflite::InitializeTarget();
  const tflite::Model* model = tflite::GetModel(model_data);
  if (model->version() != TFLITE_SCHEMA_VERSION) {
    MicroPrintf("schema version %d", static_cast<int>(model->version()));
    return -1;
  }
  static tflite::MicroMutableOpResolver<@COUNT@> resolver;
  TF_LITE_ENSURE_STATUS(add_operators(resolver));
  static tflite::MicroInterpreter interpreter(model, resolver, arena, ARENA_BYTES);
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    MicroPrintf("the arena of %d bytes is too small, or an operator is missing", ARENA_BYTES);
    return -1;
  }
  TfLiteTensor* output = interpreter.output(0);
  bool same = interpreter.inputs_size() == inputs && output->type == kTfLiteInt8 && output->bytes == MODEL_OUTPUT_BYTES;
  for (size_t port = 0; same && port < inputs; ++port) {
    same = interpreter.input(port)->type == kTfLiteInt8 && interpreter.input(port)->bytes == input_bytes[port];
  }
  if (!same) {
    MicroPrintf("the model is not the one of test_vectors.h");
    return -1;
  }
  int different = 0;
  for (int sample = 0; sample < TEST_VECTORS; ++sample) {
    for (size_t port = 0, first = 0; port < inputs; first += input_bytes[port++]) {
      memcpy(interpreter.input(port)->data.int8, test_inputs[sample] + first, input_bytes[port]);
    }
    if (interpreter.Invoke() != kTfLiteOk) return -1;
    for (size_t word = 0; word < MODEL_OUTPUT_BYTES; ++word) {
      different += output->data.int8[word] != test_outputs[sample][word];
    }
  }
  MicroPrintf("%d words of %d samples differ; arena: %d bytes used", different, TEST_VECTORS,
              static_cast<int>(interpreter.arena_used_bytes()));
  return different;
}
