# Small and large strings, hashes of arrays, sorting, regular expressions, closures and objects, all from one seed.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);

# How much of all this, in percent.
my $load = $ENV{LOAD};
my $state = 2023;
sub pick { $state = ($state * 1103515245 + 12345) & 0x7fffffff; ($state >> 8) % shift }
sub digest { my $sha = Digest::SHA->new(256); $sha->add("$_\n") for @_; $sha->hexdigest }

my @syllables = qw(ka ro mi te lun sha go per du va nis tor ela qui zen);
my @words = map { join "", map { $syllables[pick(15)] } 0 .. pick(4) } 1 .. 6000;

# A text, its words counted with the places where they occur.
my $text = join " ", map { $words[pick(6000)] . (pick(12) ? "" : ".") } 1 .. 3_500 * $load;
my %places;
while ($text =~ /(\w+)/g) { push @{ $places{$1} }, $-[0] }
my @by_count = sort { @{ $places{$b} } <=> @{ $places{$a} } || $a cmp $b } keys %places;
print "words: ", scalar(@by_count), " ", digest(map { "$_ @{ $places{$_} }[0 .. 2]" } @by_count[0 .. 499]), "\n";

# Substitution over long and over many short strings.
(my $other = $text) =~ s/(\w)(\w+)/\u$1$2-$1/g;
$other =~ s/(?<=[aeiou])(?=n)/+/g;
my @sentences = split /\.\s*/, $other;
print "sentences: ", scalar(@sentences), " ", digest(sort { length $a <=> length $b || $a cmp $b } @sentences), "\n";

# Trees of small hashes, made and dropped in turn, with some that stay.
sub tree { my $depth = shift; $depth ? { l => tree($depth - 1), r => tree($depth - 1), v => pick(1000) } : { v => pick(1000) } }
sub sum { my $t = shift; $t->{v} + ($t->{l} ? sum($t->{l}) + sum($t->{r}) : 0) }
my @kept;
my $total = 0;
for my $round (1 .. 1.2 * $load) {
  my $tree = tree(12);
  $total += sum($tree);
  push @kept, $tree if $round % 10 == 1;
}
print "trees: $total, kept ", sum({ v => 0, l => $kept[0], r => $kept[-1] }), "\n";

# Strings that grow a little at a time, many side by side, and are cut again.
my @grown = ("") x 2000;
for (1 .. 10_000 * $load) {
  my $i = pick(2000);
  $grown[$i] .= $words[pick(6000)];
  substr($grown[$i], 0, length($grown[$i]) >> 1) = "" if length $grown[$i] > 2000;
}
print "grown: ", digest(@grown), "\n";

# Closures and objects with destructors.
package Counted { our $alive = 0; sub new { $alive++; bless { of => $_[1] }, $_[0] } sub DESTROY { $alive-- } }
my @closures = map { my $n = $_; my $o = Counted->new([($n) x 5]); sub { $n += shift; $o->{of}[$n % 5] * $n } } 1 .. 1_000 * $load;
my $mixed = 0;
$mixed = ($mixed * 31 + $_->(3)) % 1_000_003 for @closures;
@closures = @closures[grep { $_ % 3 == 0 } 0 .. $#closures];
print "closures: $mixed, alive $Counted::alive\n";

# Packed records, joined, sorted as bytes and unpacked.
my @records = sort map { pack "N n/a* d", pick(1 << 20), $words[pick(6000)], $_ / 7 } 1 .. 2_000 * $load;
print "records: ", sha256_hex(join "", @records), " ", join(",", unpack "N n/a* d", $records[777]), "\n";
