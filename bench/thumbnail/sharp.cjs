// CPU milliseconds of sharp for a thumbnail: node sharp.cjs PHOTO TIMES
const { readFileSync } = require('node:fs');
const sharp = require('sharp');

sharp.cache(false);
// One photo at a time, as the others have it; threads of its own would only cost it CPU time.
sharp.concurrency(1);

async function main() {
  const photo = readFileSync(process.argv[2]);
  const times = Number(process.argv[3]);
  const thumbnail = () =>
    sharp(photo).resize(320, 320, { fit: 'inside', withoutEnlargement: true }).jpeg({ quality: 80 }).toBuffer();
  await thumbnail();
  const start = process.cpuUsage();
  for (let done = 0; done < times; done++) await thumbnail();
  const { user, system } = process.cpuUsage(start);
  console.log(((user + system) / 1000 / times).toFixed(3));
}

main();
