import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

/** Several threads that use what the virtual machine takes from malloc: direct buffers, zlib, threads, the compilers. */
public class Load {
    static byte[] text(Random random, int size) {
        byte[] text = new byte[size];
        for (int i = 0; i < size; i++) text[i] = (byte) ('a' + (int) Math.abs(random.nextGaussian() * 6));
        return text;
    }

    static long crc(byte[] bytes, int size) {
        CRC32 crc = new CRC32();
        crc.update(bytes, 0, size);
        return crc.getValue();
    }

    /** Compresses and restores texts of many sizes, each with a zlib of its own. */
    static long zipped(int seed) throws Exception {
        Random random = new Random(seed);
        long sum = 0;
        for (int i = 0; i < 400; i++) {
            byte[] text = text(random, 1 + random.nextInt(30_000));
            byte[] packed = new byte[text.length + 1000];
            Deflater deflater = new Deflater(1 + random.nextInt(9));
            deflater.setInput(text);
            deflater.finish();
            int size = deflater.deflate(packed);
            deflater.end();
            Inflater inflater = new Inflater();
            inflater.setInput(packed, 0, size);
            byte[] back = new byte[text.length];
            if (inflater.inflate(back) != text.length || !Arrays.equals(text, back)) throw new AssertionError("zlib");
            inflater.end();
            sum = sum * 31 + crc(packed, size);
        }
        return sum;
    }

    /** Direct buffers of many sizes, some kept for a while, the others left to the collector. */
    static long buffers(int seed) {
        Random random = new Random(seed);
        ByteBuffer[] kept = new ByteBuffer[64];
        long sum = 0;
        for (int i = 0; i < 30_000; i++) {
            int size = 8 + random.nextInt(random.nextInt(50) == 0 ? 400_000 : 2_000);
            ByteBuffer buffer = ByteBuffer.allocateDirect(size);
            for (int at = 0; at + 8 <= size; at += 64) buffer.putLong(at, random.nextLong());
            int slot = random.nextInt(kept.length);
            if (kept[slot] != null) sum = sum * 31 + kept[slot].getLong(0) + kept[slot].capacity();
            kept[slot] = buffer;
        }
        return sum;
    }

    static long words(int seed) {
        Random random = new Random(seed);
        Pattern vowels = Pattern.compile("[aeiou]+");
        TreeMap<String, List<Integer>> places = new TreeMap<>();
        for (int i = 0; i < 60_000; i++) {
            String word = new String(text(random, 2 + random.nextInt(6)));
            places.computeIfAbsent(vowels.matcher(word).replaceAll("-"), k -> new ArrayList<>()).add(i);
        }
        return places.entrySet().stream().mapToLong(e -> e.getKey().hashCode() * 31L + e.getValue().hashCode()).sum();
    }

    /** Short-lived threads, each with its stack and its share of what the virtual machine keeps for a thread. */
    static long threads(int count) throws InterruptedException {
        ConcurrentHashMap<Integer, Long> results = new ConcurrentHashMap<>();
        for (int from = 0; from < count; from += 20) {
            List<Thread> running = new ArrayList<>();
            for (int i = from; i < from + 20; i++) {
                int n = i;
                Thread thread = new Thread(() -> results.put(n, IntStream.range(0, 1000).mapToLong(x -> x * (long) n).sum()));
                thread.start();
                running.add(thread);
            }
            for (Thread thread : running) thread.join();
        }
        return results.values().stream().mapToLong(Long::longValue).sum();
    }

    public static void main(String[] args) throws Exception {
        var pool = Executors.newFixedThreadPool(4);
        List<Callable<String>> jobs = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            int seed = i;
            jobs.add(() -> "zipped " + seed + ": " + zipped(seed));
            jobs.add(() -> "buffers " + seed + ": " + buffers(seed));
            jobs.add(() -> "words " + seed + ": " + words(seed));
            jobs.add(() -> "threads " + seed + ": " + threads(400 + 100 * seed));
        }
        HashMap<Integer, String> lines = new HashMap<>();
        var running = jobs.stream().map(pool::submit).collect(Collectors.toList());
        for (var job : running) lines.put(lines.size(), job.get());
        pool.shutdown();
        for (int i = 0; i < lines.size(); i++) System.out.println(lines.get(i));
    }
}
