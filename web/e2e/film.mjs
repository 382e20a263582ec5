// A film for Chromium's fake camera: each picture is numbered in big blocks that survive a JPEG, and can be read back.
//
// The number stands in a grid of 4 by 4 blocks, black and white: twelve bits, and four that check them. A fifth column
// drifts, so that no two pictures are alike and the encoder has something to do.

import { open } from 'node:fs/promises';

export const WIDTH = 1280;
export const HEIGHT = 720;
const BLOCK = 160;
const LEFT = 40;
const TOP = 40;

const checkOf = (n) => (n ^ (n >> 4) ^ (n >> 8) ^ 0b1010) & 0b1111;

/** Writes a film in Y4M: `frames` pictures, `fps` a second, played round and round. */
export async function makeFilm(path, frames, fps) {
  const file = await open(path, 'w');
  const luma = Buffer.alloc(WIDTH * HEIGHT, 96);
  const chroma = Buffer.alloc((WIDTH * HEIGHT) / 2, 128);
  try {
    await file.write(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F${fps}:1 Ip A1:1 C420jpeg\n`);
    for (let n = 0; n < frames; n++) {
      const bits = (n << 4) | checkOf(n);
      for (let cell = 0; cell < 16; cell++) {
        const shade = (bits >> (15 - cell)) & 1 ? 235 : 16;
        const x = LEFT + (cell % 4) * BLOCK;
        for (let row = 0; row < BLOCK; row++) {
          const at = (TOP + Math.floor(cell / 4) * BLOCK + row) * WIDTH + x;
          luma.fill(shade, at, at + BLOCK);
        }
      }
      for (let row = 0; row < HEIGHT; row++) {
        const at = row * WIDTH + 800;
        luma.fill(64 + ((row + n * 7) % 128), at, at + 400);
      }
      await file.write('FRAME\n');
      await file.write(luma);
      await file.write(chroma);
    }
  } finally {
    await file.close();
  }
}

/** The number of a photo, read by a browser's page; null: it is none of the film. */
export async function readNumber(page, jpeg) {
  return page.evaluate(
    async ({ base64, LEFT, TOP, BLOCK, WIDTH }) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const picture = await createImageBitmap(new Blob([bytes], { type: 'image/jpeg' }));
      const scale = picture.width / WIDTH;
      const canvas = new OffscreenCanvas(picture.width, picture.height);
      const context = canvas.getContext('2d', { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      let bits = 0;
      for (let cell = 0; cell < 16; cell++) {
        const x = (LEFT + (cell % 4) * BLOCK + BLOCK / 2) * scale;
        const y = (TOP + Math.floor(cell / 4) * BLOCK + BLOCK / 2) * scale;
        const [red] = context.getImageData(Math.round(x), Math.round(y), 1, 1).data;
        bits = (bits << 1) | (red > 128 ? 1 : 0);
      }
      const n = bits >> 4;
      return ((n ^ (n >> 4) ^ (n >> 8) ^ 0b1010) & 0b1111) === (bits & 0b1111) ? n : null;
    },
    { base64: Buffer.from(jpeg).toString('base64'), LEFT, TOP, BLOCK, WIDTH },
  );
}
