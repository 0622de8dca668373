-- Tables, strings, closures and coroutines, all from one seed.
local state = 2023
-- How much of all this, in percent.
local load = math.tointeger(tonumber(os.getenv("LOAD")))
local function pick(n)
  state = (state * 1103515245 + 12345) & 0x7fffffff
  return (state >> 8) % n
end

-- FNV-1a, to print a long text as one number.
local function digest(text)
  local h = 0xcbf29ce484222325
  for i = 1, #text do h = (h ~ text:byte(i)) * 0x100000001b3 end
  return string.format("%016x", h)
end

local syllables = { "ka", "ro", "mi", "te", "lun", "sha", "go", "per", "du", "va" }
local words = {}
for i = 1, 20000 do
  local parts = {}
  for j = 1, 1 + pick(5) do parts[j] = syllables[1 + pick(10)] end
  words[i] = table.concat(parts)
end

-- Binary trees, short-lived and long-lived ones side by side.
local function tree(depth)
  if depth == 0 then return { pick(1000) } end
  return { pick(1000), tree(depth - 1), tree(depth - 1) }
end
local function sum(t) return t[2] and t[1] + sum(t[2]) + sum(t[3]) or t[1] end
local kept, total = {}, 0
for round = 1, 2 * load do
  local t = tree(13)
  total = total + sum(t)
  if round % 10 == 1 then kept[#kept + 1] = t end
end
print("trees", total, #kept, sum(kept[#kept]))

-- Counting words in tables that grow as they are filled.
local places = {}
for i = 1, 10000 * load do
  local word = words[1 + pick(#words)]
  local list = places[word]
  if not list then
    list = {}
    places[word] = list
  end
  list[#list + 1] = i
end
local names = {}
for word in pairs(places) do names[#names + 1] = word end
table.sort(names, function(a, b)
  local na, nb = #places[a], #places[b]
  if na ~= nb then return na > nb end
  return a < b
end)
print("words", #names, digest(table.concat(names, " ", 1, 1000)))

-- Strings: formatted, matched, replaced, joined.
local lines = {}
for i = 1, 2000 * load do
  lines[i] = string.format("%06d %s=%q %.3f", i, words[1 + pick(#words)], words[1 + pick(#words)], pick(100000) / 7)
end
local text = table.concat(lines, "\n")
text = text:gsub("(%w+)=\"(%w+)\"", "%2->%1"):gsub("%f[%w]ka", function(s) return s:upper() end)
local found = 0
for number in text:gmatch("%d+%.%d+") do found = found + #number end
print("text", #text, found, digest(text))

-- Strings that grow by a little, many side by side.
local grown = {}
for i = 1, 1000 do grown[i] = "" end
for _ = 1, 3000 * load do
  local i = 1 + pick(1000)
  grown[i] = grown[i] .. words[1 + pick(#words)]
  if #grown[i] > 2000 then grown[i] = grown[i]:sub(1000) end
end
print("grown", digest(table.concat(grown)))

-- Coroutines and closures that hold on to what they saw.
local mixed = 0
for round = 1, 200 * load do
  local seen = {}
  local co = coroutine.wrap(function(n)
    for i = 1, 10 do
      seen[i] = function() return n * i end
      n = coroutine.yield(n + i)
    end
    return n
  end)
  for i = 1, 10 do mixed = (mixed * 31 + co(round + i) + seen[i]()) % 1000003 end
end
collectgarbage()
print("coroutines", mixed)
