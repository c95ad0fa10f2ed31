"""Who paid and is owed access: buyers whom the rules gave nothing, or too little."""
