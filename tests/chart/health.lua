-- What Argo CD makes of an object, run as Argo CD runs it: `obj` is there, and neither string nor os.
local code = assert(loadfile("deploy/gitops/argocd-health.lua"))

local function judge(status, generation)
  return setfenv(code, { ipairs = ipairs, pairs = pairs, obj = { metadata = { generation = generation or 2 }, status = status } })()
end
local function conditions(list)
  local made = {}
  for name, value in pairs(list) do
    made[#made + 1] = { type = name, status = value, message = name .. " is " .. value }
  end
  return { observedGeneration = 2, conditions = made }
end
local function expect(case, status, words, seen)
  if seen.status ~= status or not seen.message:find(words, 1, true) then
    error(case .. ": " .. seen.status .. " " .. tostring(seen.message))
  end
end

expect("fresh, without a status", "Progressing", "Not judged", judge(nil))
expect("fresh, with the schema's default", "Progressing", "Not judged", judge({ observedGeneration = -1 }))
expect("verified", "Healthy", "Ready is True", judge(conditions({ Ready = "True", Verified = "True" })))
expect("verified before a change", "Progressing", "Not judged", judge(conditions({ Ready = "True" }), 3))
expect("being judged", "Progressing", "Not judged", judge(conditions({ Ready = "False", Reconciling = "True" })))
expect("unverified", "Degraded", "Ready is False", judge(conditions({ Ready = "False", Verified = "False" })))
expect("stalled", "Degraded", "Stalled is True", judge(conditions({ Ready = "False", Stalled = "True" })))
expect("not known yet", "Progressing", "Ready is Unknown", judge(conditions({ Ready = "Unknown" })))
expect("suspended", "Healthy", "Suspended", judge(conditions({ Suspended = "True", Verified = "False" })))
