# Answers as people's vacation does: once for each sender in seven days.
require ["vacation"];
vacation "I am away, and say so once.";
discard;
