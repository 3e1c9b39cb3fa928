-- Health of every kind of mailverity, for Argo CD: docs/gitops.md says where it goes. Its Lua has no string and no os.
local health = { status = "Progressing", message = "Not judged yet" }
if obj.status == nil or obj.status.conditions == nil then
  return health
end
local is = {}
for _, condition in ipairs(obj.status.conditions) do
  is[condition.type] = condition
end
local function holds(name, status)
  return is[name] ~= nil and is[name].status == status
end
if holds("Suspended", "True") then
  return { status = "Healthy", message = "Suspended" }
end
if obj.status.observedGeneration ~= obj.metadata.generation or holds("Reconciling", "True") then
  return health
end
if holds("Stalled", "True") then
  return { status = "Degraded", message = is["Stalled"].message }
end
if holds("Ready", "False") then
  return { status = "Degraded", message = is["Ready"].message }
end
if holds("Ready", "True") then
  return { status = "Healthy", message = is["Ready"].message }
end
if is["Ready"] ~= nil then
  health.message = is["Ready"].message
end
return health
