/* int8 kernels of the generated model: sums in int32, scaled down by a power of two per output channel. */
#ifndef KERNELS_H
#define KERNELS_H
#include <stdint.h>

struct convolution {
  int32_t height, width, channels, rows, columns, filters, kernel_height, kernel_width, stride_y, stride_x;
  int32_t dilation_y, dilation_x, before_y, before_x, input_zero_point, output_zero_point, relu;
  const int8_t *kernel; /* filters, kernel_height, kernel_width, channels */
  const int32_t *bias;
  const int8_t *shift;
};

/* sum * 2**-shift, ties to even, as QKeras and XNNPACK round. */
static int32_t scale_down(int32_t sum, int shift) {
  if (shift <= 0) return (int32_t)((int64_t)sum * ((int64_t)1 << -shift));
  const int64_t half = (int64_t)1 << (shift - 1);
  const int64_t below = (int64_t)sum + half - 1; /* ties downward */
  const int64_t floor = (int64_t)sum >> shift;
  return (int32_t)((below + (floor & 1)) >> shift);
}

static int8_t saturate(int32_t word) { return (int8_t)(word < -128 ? -128 : word > 127 ? 127 : word); }

static int32_t sum_of(const struct convolution *c, const int8_t *x, const int8_t *kernel, int32_t row, int32_t column) {
  int32_t sum = 0;
  for (int32_t ky = 0; ky < c->kernel_height; ++ky) {
    const int32_t y = row * c->stride_y + ky * c->dilation_y - c->before_y;
    if (y < 0 || y >= c->height) continue; /* padding is the zero point: it adds nothing */
    for (int32_t kx = 0; kx < c->kernel_width; ++kx) {
      const int32_t place = column * c->stride_x + kx * c->dilation_x - c->before_x;
      if (place < 0 || place >= c->width) continue;
      const int8_t *pixel = x + (y * c->width + place) * c->channels;
      const int8_t *weights = kernel + (ky * c->kernel_width + kx) * c->channels;
      for (int32_t i = 0; i < c->channels; ++i) sum += (pixel[i] - c->input_zero_point) * weights[i];
    }
  }
  return sum;
}

static void convolve(const struct convolution *c, const int8_t *x, int8_t *result) {
  const int32_t size = c->kernel_height * c->kernel_width * c->channels;
  for (int32_t row = 0; row < c->rows; ++row)
    for (int32_t column = 0; column < c->columns; ++column)
      for (int32_t filter = 0; filter < c->filters; ++filter) {
        const int32_t sum = c->bias[filter] + sum_of(c, x, c->kernel + filter * size, row, column);
        int32_t word = scale_down(sum, c->shift[filter]);
        if (c->relu && word < 0) word = 0;
        *result++ = saturate(word + c->output_zero_point);
      }
}

/* Used by some models only. */
static inline void at_least(const int8_t *x, int8_t *result, int32_t bound, int32_t count) {
  for (int32_t i = 0; i < count; ++i) result[i] = x[i] < bound ? (int8_t)bound : x[i];
}

static inline void at_most(const int8_t *x, int8_t *result, int32_t bound, int32_t count) {
  for (int32_t i = 0; i < count; ++i) result[i] = x[i] > bound ? (int8_t)bound : x[i];
}
#endif
