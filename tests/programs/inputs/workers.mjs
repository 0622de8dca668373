// Worker threads that pass buffers to each other, JSON, strings, zlib and digests; each worker's answer is the same every time.
import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync, deflateRawSync, inflateRawSync } from 'node:zlib';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

// How much of all this, in percent.
const load = Number(process.env.LOAD);

function random(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % n;
  };
}

function buffers(pick) {
  const kept = new Array(500).fill(null);
  const hash = createHash('sha256');
  for (let i = 0; i < 600 * load; i++) {
    const size = 1 + (pick(40) === 0 ? pick(300000) : pick(6000));
    const buffer = pick(2) ? Buffer.alloc(size, i & 255) : Buffer.allocUnsafeSlow(size).fill(i & 255);
    const slot = pick(kept.length);
    if (kept[slot] && pick(20) === 0) hash.update(kept[slot]);
    kept[slot] = pick(10) ? buffer : Buffer.concat([buffer.subarray(size >> 1), buffer]);
  }
  return hash.digest('hex');
}

function documents(pick) {
  let text = '[]';
  const hash = createHash('sha256');
  for (let round = 0; round < 0.4 * load; round++) {
    const list = JSON.parse(text).slice(-2000);
    for (let i = 0; i < 1500; i++) {
      list.push({ id: round * 10000 + i, name: `n${pick(1e6).toString(36)}`, tags: Array.from({ length: pick(6) }, () => pick(99)) });
    }
    text = JSON.stringify(list.map((o) => ({ ...o, name: o.name.replace(/[aeiou]/g, (c) => c.toUpperCase()) })));
    hash.update(text);
  }
  return hash.digest('hex');
}

function packed(pick) {
  const hash = createHash('sha256');
  for (let i = 0; i < 4 * load; i++) {
    const data = Buffer.from(Array.from({ length: 200 + pick(3000) }, () => pick(1000)).join(' '));
    const small = pick(2) ? gzipSync(data, { level: 1 + pick(9) }) : deflateRawSync(data, { level: 1 + pick(9) });
    const back = small[0] === 0x1f && small[1] === 0x8b ? gunzipSync(small) : inflateRawSync(small);
    if (!back.equals(data)) throw new Error('zlib');
    hash.update(back).update(String(small.length));
  }
  return hash.digest('hex');
}

if (isMainThread) {
  const answers = [];
  // A few generations of workers: a thread's memory comes and goes with it.
  for (let generation = 0; generation < 3; generation++) {
    await Promise.all([0, 1, 2, 3].map((n) => new Promise((resolve, reject) => {
      const id = generation * 4 + n;
      const worker = new Worker(new URL(import.meta.url), { workerData: id });
      const hash = createHash('sha256');
      worker.on('message', (message) => {
        if (typeof message === 'string') answers[id] = message;
        else hash.update(new Uint8Array(message));
      });
      worker.on('error', reject);
      worker.on('exit', () => resolve(answers[id] += `, sent ${hash.digest('hex')}`));
    })));
  }
  console.log(answers.join('\n'));
} else {
  const pick = random(workerData);
  for (let i = 0; i < 3 * load; i++) {
    const array = new ArrayBuffer(1 + pick(200000));
    new Uint8Array(array).fill(pick(256));
    parentPort.postMessage(array, [array]);
  }
  parentPort.postMessage(`${workerData}: ${buffers(pick)} ${documents(pick)} ${packed(pick)}`);
}
