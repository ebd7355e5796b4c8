/* Runs the generated model bare-metal under qemu's semihosting: one line of output words for each vector. */
#include <stdio.h>

#include "model.h"
#include "vectors.h"

int main(void) {
  static int8_t output[MODEL_OUTPUT_SIZE];
  for (int sample = 0; sample < VECTORS; ++sample) {
    const int8_t *vector = vectors + sample * VECTOR_WORDS;
    INVOKE(vector, output);
    for (int i = 0; i < MODEL_OUTPUT_SIZE; ++i) printf("%d ", output[i]);
    printf("\n");
  }
  printf("end\n");
  fflush(stdout);
  return 0;
}
