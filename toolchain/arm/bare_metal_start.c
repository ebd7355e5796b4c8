/* Vector table for qemu's mps2-an385 (Cortex-M3): stack at the end of RAM, then newlib's own start. */
#include <stdint.h>

extern uint32_t __StackTop;
extern void _start(void);

static void stop(void) {
  for (;;) {
  }
}

void reset(void) {
  _start();
  stop();
}

__attribute__((section(".vectors"), used)) void *const vector_table[16] = {
    &__StackTop, reset, stop, stop, stop, stop, stop, 0, 0, 0, 0, stop, stop, 0, stop, stop};
