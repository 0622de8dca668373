# A stream for git fast-import: so many commits on a few branches, which edit, add and delete files and merge.
use strict;
use warnings;

my $state = 2023;
sub pick { $state = ($state * 1103515245 + 12345) & 0x7fffffff; ($state >> 8) % shift }
my @words = map { join "", map { chr(97 + pick(26)) } 0 .. 2 + pick(8) } 1 .. 3000;
sub line { join(" ", map { $words[pick(3000)] } 0 .. 3 + pick(8)) . "\n" }

my @branches = qw(main next topic);
my (%files, %tip);
my $mark = 0;
for my $commit (1 .. shift) {
  my $branch = $commit <= 20 ? "main" : $branches[pick(3)];
  if (!$files{$branch} && $branch ne "main") {
    $files{$branch} = { map { $_ => [ @{ $files{main}{$_} } ] } keys %{ $files{main} } };
  }
  my $tree = $files{$branch} //= {};
  my @changes;
  for (0 .. pick(4)) {
    my $n = pick(600);
    my $name = sprintf "dir%d/sub%d/file%d.txt", $n % 7, $n % 13, $n;
    my $lines = $tree->{$name};
    if ($lines && pick(25) == 0) {
      delete $tree->{$name};
      push @changes, "D $name\n";
      next;
    }
    $lines //= $tree->{$name} = [ map { line() } 0 .. 30 + pick(200) ];
    splice @$lines, pick(scalar @$lines), pick(4), map { line() } 0 .. pick(6);
    my $text = join "", @$lines;
    push @changes, "M 644 inline $name\ndata " . length($text) . "\n$text\n";
  }
  my $message = join "", map { line() } 0 .. pick(3);
  my $when = 1_700_000_000 + 600 * $commit;
  print "commit refs/heads/$branch\nmark :", ++$mark, "\n";
  print "committer Author $branch <$branch\@example.org> $when +0000\ndata ", length $message, "\n$message\n";
  print "from :", $tip{$branch} // $tip{main}, "\n" if $tip{main};
  my $other = $branches[pick(3)];
  print "merge :$tip{$other}\n" if $tip{$other} && $tip{$branch} && $other ne $branch && pick(15) == 0;
  print @changes;
  $tip{$branch} = $mark;
}
